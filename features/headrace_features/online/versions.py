"""Which definitions a project's state is kept of, each set in a namespace, and which are served.

All of that is one small document in the store, which is replaced as a whole: to promote a version
is one step, and whoever reads sees the state before it or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore

_ATTEMPTS = 20


class Switch(msgspec.Struct, frozen=True):
    """That another namespace is about to be served; noted before anything is done for it.

    Attributes:
        to: the one to be served.
        former: the one that is served before.
        back: whether that takes a promotion back.
    """

    to: str
    former: str
    back: bool


class Versions(msgspec.Struct, frozen=True):
    """What is kept side by side.

    Attributes:
        namespaces: by name the definitions of each, see `portable_project`.
        serving: the namespace that is read.
        former: those that were read before, the last one first.
        taken_back: those that were read and are so no more as they were taken back.
        switch: what was begun and hasn't ended; None where nothing was.
    """

    namespaces: Mapping[str, dict[str, Any]] = {}
    serving: str = ""
    former: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()
    switch: Switch | None = None

    def keeps(self, namespace: str, definitions: Mapping[str, Any]) -> Versions:
        """These and a namespace with some definitions."""
        kept = {**self.namespaces, namespace: dict(definitions)}
        return msgspec.structs.replace(self, namespaces=kept)

    def serves(self, namespace: str, *, back: bool = False) -> Versions:
        """The same, with another namespace being read.

        Args:
            namespace: its name.
            back: whether what was read is taken back by that: it isn't gone back to.
        """
        if namespace == self.serving:
            return self
        others = self._but(namespace)
        kind = "taken_back" if back else "former"
        kept = {kind: (self.serving, *getattr(others, kind))}
        return msgspec.structs.replace(others, serving=namespace, **kept)

    def _but(self, namespace: str) -> Versions:
        """The same, as if a namespace had not been read before."""
        return msgspec.structs.replace(
            self,
            former=tuple(one for one in self.former if one != namespace),
            taken_back=tuple(one for one in self.taken_back if one != namespace),
        )

    def switches(self, switch: Switch | None) -> Versions:
        """The same, with something that was begun, or nothing."""
        return msgspec.structs.replace(self, switch=switch)

    def without(self, namespace: str) -> Versions:
        """These without a namespace that isn't read."""
        kept = {name: one for name, one in self.namespaces.items() if name != namespace}
        return msgspec.structs.replace(self._but(namespace), namespaces=kept)


def spelled(namespace: str) -> str:
    """A namespace as people read it."""
    return namespace or "the first namespace"


def read_versions(store: StateStore) -> tuple[int, Versions]:
    """The number of the store's document, 0 where there is none, and what it says."""
    noted = store.versions()
    if not noted.content:
        return noted.number, Versions()
    return noted.number, msgspec.json.decode(noted.content, type=Versions)


def change_versions(store: StateStore, change: Callable[[Versions], Versions]) -> Versions:
    """Replace the document by what becomes of it, in one step, whoever else does so.

    Raises:
        RetryableError: others change it all the time.
    """
    for _ in range(_ATTEMPTS):
        number, held = read_versions(store)
        changed = change(held)
        if changed == held or store.note_versions(msgspec.json.encode(changed), number):
            return changed
    raise RetryableError("others change the versions of this project", hint="try again shortly")
