"""What becomes of memory between the steps of a long loop."""

import torch

_BLOCK = (32 << 20) - (1 << 16)  # bytes; the C library learns nothing from a block of 32 MB or more


def keep_freed_memory() -> None:
    """Let what one step frees stay with the process, up to 64 MB of it, for the next step to take.

    As delivered, the C library of Linux (glibc) hands freed memory back to the system as soon as there are some hundred
    kilobytes of it, and the next step asks for it again, page by page: for 20,000 chains that can take longer than the
    step itself. It learns to keep more from the size of what it sees freed, and so it is shown one large block, which
    is never written to. Elsewhere this does nothing. Results do not change.
    Source: mallopt(3), on the dynamic M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    torch.empty(_BLOCK, dtype=torch.uint8, device="cpu")
