"""What the tests of the live lab have in common: its pages opened from the disk, and laws and runs in JavaScript."""

import numpy as np

from toylab import live

RUN = """([mixture, settings, n, steps]) => {
    const density = new GaussianMixture(...mixture), generator = new Generator(2);
    const normals = () => generator.normals(new Float64Array(2 * n));
    const x = settings.noise ? normals() : density.sample(n, generator, settings.from);
    const all = { density, sigma: 0, nTimes: steps, temperature: 1, generator, extent: [-9, 9, -9, 9], ...settings };
    const run = newRun(all, x);
    for (let k = 0; k < steps; k++) advance(run);
    return [...run.x];
}"""


def calls(context, module, names):
    """Yields what calls JavaScript in which these names of an instrument's modules are known."""
    page = context.new_page()
    page.evaluate(f"() => {{ {live.script(module)}\nObject.assign(window, {{ {names} }}); }}")
    yield lambda code, *given: page.evaluate(code, *given)
    page.close()


def numbers(p):
    """The arguments of a mixture in JavaScript."""
    return [p.weights.tolist(), p.means.tolist(), [[c[0][0], c[0][1], c[1][1]] for c in p.covariances.tolist()]]


def opened(context, folder, name):
    """Yields what opens an instrument at an address; afterwards no error was said."""
    page = context.new_page()
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda line: failures.append(line.text) if line.type in {"error", "warning"} else None)

    def open_at(address=""):
        page.goto("about:blank")  # or only the address would change
        page.goto((folder / f"{name}.html").as_uri() + address)
        page.wait_for_function("() => window.toylab && window.toylab()")
        return page

    yield open_at
    page.close()
    assert failures == []


def address_of(page):
    """The address as it is when the page is left."""
    return page.evaluate("() => { dispatchEvent(new Event('pagehide')); return location.hash; }")


def contrast(page, selector):
    """Of the text of an element against its ground, as WCAG 2 defines it."""
    colours = page.evaluate(
        """(selector) => {
            const page = document.querySelector(".toylab-live"), element = page.querySelector(selector);
            return [getComputedStyle(element).color, getComputedStyle(page).backgroundColor];
        }""",
        selector,
    )
    parts = [np.array([float(v) for v in c[c.index("(") + 1 : -1].split(",")[:3]]) / 255 for c in colours]
    linear = [np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722] for c in parts]
    return (max(linear) + 0.05) / (min(linear) + 0.05)
