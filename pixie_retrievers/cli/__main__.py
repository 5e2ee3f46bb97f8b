from __future__ import annotations

from pixie_retrievers.cli import main

if __name__ == "__main__":
    main()
