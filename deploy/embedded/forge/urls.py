"""Every address that the forge prints. All begin with the public URL, since clients refuse to follow others."""

from dataclasses import dataclass
from urllib.parse import quote

from deploy.embedded.forge.guard import API_PREFIX


@dataclass(frozen=True)
class Urls:
    """`public` has no slash at its end."""

    public: str

    @property
    def api(self) -> str:
        """Root of the REST protocol."""
        return self.public + API_PREFIX

    def repository(self, full_name: str) -> str:
        """A repository in the REST protocol."""
        return f"{self.api}/repos/{full_name}"

    def page(self, full_name: str) -> str:
        """A repository in a browser."""
        return f"{self.public}/{full_name}"

    def clone(self, full_name: str) -> str:
        """A repository for `git clone`."""
        return f"{self.public}/{full_name}.git"

    def file_page(self, full_name: str, revision: str, path: str) -> str:
        """A file in a browser."""
        return f"{self.page(full_name)}/blob/{quote(revision)}/{quote(path)}"

    def raw(self, full_name: str, revision: str, path: str) -> str:
        """A file's bytes."""
        return f"{self.page(full_name)}/raw/{quote(revision)}/{quote(path)}"
