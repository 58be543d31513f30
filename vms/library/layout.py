"""Where the files of the library lie, all below one folder that web and worker share.

`incoming/` holds what is being uploaded, `work/` what an import has got to, `library/` whole
images. A file stands under its last name only when it is complete.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER_MODE = 0o711
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Library:
    """Paths by an image's UUID."""

    root: Path

    def make(self) -> None:
        """Make the folders; there already is success."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.incoming, self.work, self.images):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def images(self) -> Path:
        return self.root / "library"

    def upload(self, image: str) -> Path:
        """What was uploaded so far."""
        return self.incoming / image

    def stopped(self, image: str) -> Path:
        """There as long as the making of this image is to end: it is not wanted any more."""
        return self.incoming / f"{image}.stop"

    @property
    def pulse(self) -> Path:
        """Touched again and again by the worker that makes images."""
        return self.root / "pulse"

    def desk(self, image: str) -> Path:
        """The folder in which this image is made."""
        return self.work / image

    def source(self, image: str) -> Path:
        """What came in, whole and with the right checksum."""
        return self.desk(image) / "source"

    def image(self, image: str) -> Path:
        return self.images / f"{image}.qcow2"

    def facts(self, image: str) -> Path:
        """Size and digest of the image; it is there only if the image is."""
        return self.images / f"{image}.json"

    def free(self) -> int:
        """Bytes that can still be written."""
        return shutil.disk_usage(self.root).free
