"""Refreshes from a repository directory with python-tuf alone and downloads every target it names.

usage: tuf_accepts.py REPO_DIR      (REPO_DIR/metadata, REPO_DIR/targets; trust starts at metadata/1.root.json)

Exits with 0 and a line per target when python-tuf accepts everything; with 1 and its reason otherwise.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

CHUNK = 64 * 1024


class FileFetcher(FetcherInterface):
    """Serves file:// URLs below one directory; an absent file is a 404, as a web server would say."""

    def __init__(self, base: Path) -> None:
        self.base = base.resolve()

    def _fetch(self, url: str) -> Iterator[bytes]:
        raw = Path(urlparse(url).path)
        # File names contain percent signs where role names do: the name as written is tried first.
        path = raw if raw.is_file() else Path(unquote(str(raw)))
        if not path.is_file() or self.base not in path.resolve().parents:
            raise DownloadHTTPError(f"no such file: {path}", 404)
        return self._chunks(path)

    @staticmethod
    def _chunks(path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def target_paths(metadata_dir: Path, stored: Path) -> set[str]:
    """Names every target of every pinned targets role; what they say is judged by python-tuf afterwards."""
    snapshot = json.loads((stored / "snapshot.json").read_bytes())["signed"]
    paths: set[str] = set()
    for name, pin in snapshot["meta"].items():
        role = json.loads((metadata_dir / f"{pin['version']}.{name}").read_bytes())["signed"]
        paths.update(role["targets"])
    return paths


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    repo = Path(sys.argv[1]).resolve()
    metadata, targets = repo / "metadata", repo / "targets"
    with tempfile.TemporaryDirectory() as work:
        stored, downloads = Path(work, "stored"), Path(work, "downloads")
        stored.mkdir()
        downloads.mkdir()
        try:
            updater = Updater(
                metadata_dir=str(stored),
                metadata_base_url=metadata.as_uri(),
                target_dir=str(downloads),
                target_base_url=targets.as_uri(),
                fetcher=FileFetcher(repo),
                bootstrap=(metadata / "1.root.json").read_bytes(),
            )
            updater.refresh()
            paths = sorted(target_paths(metadata, stored))
            if not paths:
                print("the repository names no target", file=sys.stderr)
                return 1
            for path in paths:
                info = updater.get_targetinfo(path)
                if info is None:
                    print(f"{path}: no trusted role names it", file=sys.stderr)
                    return 1
                file = Path(updater.download_target(info))
                print(f"{path}: {file.stat().st_size} bytes verified")
        except (RepositoryError, DownloadError, OSError, ValueError) as fault:
            print(f"python-tuf refuses the repository: {type(fault).__name__}: {fault}", file=sys.stderr)
            return 1
    print(f"{len(paths)} targets accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
