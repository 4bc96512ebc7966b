"""Random lives of three accounts: whoever follows their feed from the beginning knows exactly what they can see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from emulator_steps import ALICE, BOB, CAROL, FILES, FOLDER, Raw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from drive_emulator import DriveEmulator

ACCOUNTS = (ALICE, BOB, CAROL)
FIELDS = "nextPageToken,newStartPageToken,changes(fileId,removed,file(id,name,parents,trashed,ownedByMe))"

FEW = 6
"""Files at once: few, so that steps meet on the same ones."""

accounts = st.sampled_from(ACCOUNTS)
picks = st.integers(0, 20)
ROLES = ("reader", "writer")
# Mostly the owner acts, or most steps would be refusals.
actors = st.sampled_from(("owner", "owner", "owner", *ACCOUNTS))


@dataclass
class Node:
    """A file, in the plainest model of Drive there can be."""

    id: str
    name: str
    owner: str
    parent: Node | None
    folder: bool
    grants: dict[str, str] = field(default_factory=dict)
    in_trash: bool = False

    def role(self, account: str) -> str | None:
        if account == self.owner:
            return "owner"
        above = self.parent.role(account) if self.parent else None
        roles = {"writer" if above == "owner" else above, self.grants.get(account)}
        return next((role for role in ("writer", "reader") if role in roles), None)

    def trashed(self) -> bool:
        return self.in_trash or (self.parent is not None and self.parent.trashed())

    def lies_in(self, other: Node) -> bool:
        return self is other or (self.parent is not None and self.parent.lies_in(other))


class Feed(RuleBasedStateMachine):
    """Does to the emulator and to the model what the emulator must allow or refuse alike."""

    emulator: DriveEmulator

    def __init__(self) -> None:
        super().__init__()
        self.emulator.reset()
        self.raw = {account: Raw(self.emulator.port, account) for account in ACCOUNTS}
        self.roots = {a: self.raw[a]("GET", f"{FILES}/root?fields=id").json["id"] for a in ACCOUNTS}
        self.alive: list[Node] = []
        self.known: list[Node] = []
        self.mirrors: dict[str, dict[str, Any]] = {account: {} for account in ACCOUNTS}
        self.tokens = {
            a: self.raw[a]("GET", "/drive/v3/changes/startPageToken").json["startPageToken"] for a in ACCOUNTS
        }
        self.count = 0

    def _pick(self, number: int) -> Node:
        """Return one of the newest files, some of which are gone by now."""
        newest = self.known[-FEW:]
        return newest[number % len(newest)]

    @precondition(lambda self: len(self.alive) < FEW)
    @rule(account=accounts, folder=st.booleans())
    def create_at_the_top(self, account: str, folder: bool) -> None:
        self._create(account, None, folder=folder)

    @precondition(lambda self: self.known and len(self.alive) < FEW)
    @rule(actor=actors, folder=st.booleans(), pick=picks)
    def create_in_a_folder(self, actor: str, folder: bool, pick: int) -> None:
        parent = self._pick(pick)
        self._create(parent.owner if actor == "owner" else actor, parent, folder=folder)

    def _create(self, account: str, parent: Node | None, *, folder: bool) -> None:
        self.count += 1
        body = {"name": f"n{self.count}", "mimeType": FOLDER if folder else "text/plain"}
        if parent is not None:
            body["parents"] = [parent.id]
        answer = self.raw[account]("POST", FILES, body)
        if parent is not None and not (
            parent in self.alive and parent.folder and parent.role(account) in ("writer", "owner")
        ):
            assert answer.status in (403, 404)
            return
        assert answer.status == 200, answer.body
        node = Node(answer.json["id"], body["name"], account, parent, folder)
        self.alive.append(node)
        self.known.append(node)

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors, grantee=accounts, role=st.sampled_from(ROLES))
    def share(self, pick: int, actor: str, grantee: str, role: str) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        body = {"type": "user", "role": role, "emailAddress": grantee}
        answer = self.raw[account]("POST", f"{FILES}/{node.id}/permissions?sendNotificationEmail=false", body)
        self._expect(answer, node, account, ("writer", "owner"))
        if answer.status == 200 and grantee != node.owner:
            node.grants[grantee] = role

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors)
    def unshare(self, pick: int, actor: str) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        grantee = next(iter(node.grants), CAROL)
        permission = self.raw[grantee]("GET", "/drive/v3/about?fields=user").json["user"]["permissionId"]
        answer = self.raw[account]("DELETE", f"{FILES}/{node.id}/permissions/{permission}")
        if grantee not in node.grants or grantee == node.owner:
            assert answer.status in (403, 404)
        else:
            self._expect(answer, node, account, ("writer", "owner") if account != grantee else ROLES)
            if answer.status == 204:
                del node.grants[grantee]

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors, other=picks)
    def move(self, pick: int, actor: str, other: int) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        folder = self._pick(other)
        parent = node.parent.id if node.parent else self.roots[node.owner]
        query = f"addParents={folder.id}&removeParents={parent}"
        answer = self.raw[account]("PATCH", f"{FILES}/{node.id}?{query}", {})
        allowed = (
            node in self.alive
            and folder in self.alive
            and folder.folder
            and not folder.lies_in(node)
            and node.role(account) in ("writer", "owner")
            and folder.role(account) in ("writer", "owner")
        )
        assert (answer.status == 200) == allowed, (answer.status, answer.body)
        if allowed:
            node.parent = folder

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors)
    def take_out(self, pick: int, actor: str) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        if node.parent is None:
            return
        answer = self.raw[account]("PATCH", f"{FILES}/{node.id}?removeParents={node.parent.id}", {})
        self._expect(answer, node, account, ("writer", "owner"))
        if answer.status == 200:
            node.parent = None

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors)
    def rename(self, pick: int, actor: str) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        self.count += 1
        answer = self.raw[account]("PATCH", f"{FILES}/{node.id}", {"name": f"n{self.count}"})
        self._expect(answer, node, account, ("writer", "owner"))
        if answer.status == 200:
            node.name = f"n{self.count}"

    @precondition(lambda self: self.known)
    @rule(pick=picks, actor=actors, trashed=st.booleans())
    def trash(self, pick: int, actor: str, trashed: bool) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        answer = self.raw[account]("PATCH", f"{FILES}/{node.id}", {"trashed": trashed})
        if node.in_trash != trashed:
            self._expect(answer, node, account, ("owner",))
        if answer.status == 200:
            node.in_trash = trashed

    @precondition(lambda self: len(self.alive) >= FEW - 1)
    @rule(pick=picks, actor=actors)
    def delete(self, pick: int, actor: str) -> None:
        node = self._pick(pick)
        account = node.owner if actor == "owner" else actor
        answer = self.raw[account]("DELETE", f"{FILES}/{node.id}")
        self._expect(answer, node, account, ("owner",))
        if answer.status == 204:
            self._delete(account, [other for other in self.alive if other.lies_in(node)])

    @rule(account=accounts)
    def empty_trash(self, account: str) -> None:
        assert self.raw[account]("DELETE", f"{FILES}/trash").status == 204
        tops = [node for node in self.alive if node.owner == account and node.in_trash]
        self._delete(account, [node for node in self.alive if any(node.lies_in(top) for top in tops)])

    def _delete(self, account: str, subtree: list[Node]) -> None:
        gone = [node for node in subtree if node.owner == account]
        self.alive = [node for node in self.alive if node not in gone]
        for orphan in (node for node in self.alive if node.parent in gone):
            orphan.parent = None

    def _expect(self, answer: Any, node: Node, account: str, roles: tuple[str, ...]) -> None:
        """Compare with the role that the model says is needed: 404 without any, 403 with a lower one."""
        role = node.role(account) if node in self.alive else None
        wanted = 404 if role is None else 403 if role not in roles else (200, 204)
        assert answer.status in (wanted if isinstance(wanted, tuple) else (wanted,)), (answer.status, answer.body)

    @rule(size=st.integers(1, 5))
    def everyone_follows(self, size: int) -> None:
        for account in ACCOUNTS:
            self.follow(account, size)

    @rule(account=accounts, size=st.integers(1, 5))
    def follow(self, account: str, size: int) -> None:
        """Read the feed to its end; then the mirror is what the model says the account can see."""
        mirror = self.mirrors[account]
        while True:
            query = f"pageToken={self.tokens[account]}&pageSize={size}&fields={quote(FIELDS)}"
            page = self.raw[account]("GET", f"/drive/v3/changes?{query}").json
            for change in page["changes"]:
                mirror.pop(change["fileId"], None)
                if not change["removed"]:
                    mirror[change["fileId"]] = change["file"]
            following = page.get("nextPageToken") or page["newStartPageToken"]
            assert int(following) >= int(self.tokens[account])
            self.tokens[account] = following
            if "newStartPageToken" in page:
                break
        assert mirror == {node.id: self._shown(node, account) for node in self.alive if node.role(account)}

    def _shown(self, node: Node, account: str) -> dict[str, Any]:
        shown = {"id": node.id, "name": node.name, "trashed": node.trashed(), "ownedByMe": node.owner == account}
        if node.parent is not None and node.parent.role(account):
            shown["parents"] = [node.parent.id]
        elif node.parent is None and node.owner == account and node.id not in self._orphans(account):
            shown["parents"] = [self.roots[account]]
        return shown

    def _orphans(self, account: str) -> set[str]:
        """Files whose folder was deleted under them: they have no parent at all, as in Drive."""
        found = self.raw[account]("GET", f"{FILES}?pageSize=1000&fields=files(id,parents)").json["files"]
        return {file["id"] for file in found if "parents" not in file}

    def teardown(self) -> None:
        for account in ACCOUNTS:
            self.follow(account, 3)
        for raw in self.raw.values():
            raw.close()


@pytest.mark.timeout(600)  # a failure takes its time to be shrunk
def test_a_feed_applied_to_an_empty_mirror_converges_to_what_the_account_can_see(
    shared_emulator: DriveEmulator,
) -> None:
    class Machine(Feed):
        emulator = shared_emulator

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
