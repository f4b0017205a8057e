"""The lessons go into the wheel as toylab/lessons; all else is declared in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithLessons(build_py):
    """Copies notebooks/, which stays at the top of the repository, to toylab/lessons in the wheel."""

    lessons = [*map(str, [*Path("notebooks").glob("*.ipynb"), *Path("notebooks", "pictures").glob("*.*")])]

    def run(self):
        """Build as always; an editable installation opens the notebooks of the checkout."""
        super().run()
        if not self.editable_mode:
            for lesson in self.lessons:
                built = Path(self.build_lib, "toylab", "lessons", *Path(lesson).parts[1:])
                self.mkpath(str(built.parent))
                self.copy_file(lesson, str(built), preserve_mode=False)

    def get_source_files(self):
        """What a source distribution takes along."""
        return [*super().get_source_files(), *self.lessons]


setup(cmdclass={"build_py": BuildWithLessons})
