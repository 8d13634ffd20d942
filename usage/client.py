"""How every other room speaks to the usage service. Standard library, httpx and `core` only.

Each call is harmless to repeat (the service knows a lease, spawn id or entry key again), so a
connection that the proxy dropped while idle is simply tried a second time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from core.wire import (
    Enrolment,
    LabStatus,
    LabWarning,
    Lease,
    LeaseOrder,
    Observation,
    Refusal,
    ReserveRequest,
    Role,
    Slot,
    SlotMode,
    from_json,
)

if TYPE_CHECKING:
    import httpx


class Refused(Exception):
    """The service understood and said no. `refusal.message` is a sentence for the reader."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class UsageUnavailable(Exception):
    """No usable answer: not running, timed out, 5xx, wrong key, or not our JSON."""


@dataclass(frozen=True)
class CohortSpec:
    """A cohort as it should be. Times are ISO 8601 with a zone; amounts are core.units units."""

    id: str
    name: str
    organisation: str = ""
    starts: str = ""
    ends: str = ""
    timezone: str = "Asia/Seoul"
    courses: list[str] = field(default_factory=list)
    lab_max_minutes: int | None = None
    """Longest GPU lab; None: the platform's setting."""
    learner_cap: int | None = None
    """Units that one learner may use of the pool; None: no cap of their own."""
    daily_cap: int | None = None
    """Units that one learner may use on one day of the cohort's zone; None: no such cap."""
    max_gpu_labs: int | None = None
    """GPU labs of this cohort at the same time; None: as many as there are slots."""
    allowance: int = 0
    """Units that instructors of the cohort may grant by themselves in answer to requests."""


@dataclass(frozen=True)
class CohortCourses:
    """What other services have to know of a cohort. `open`: within its start and end."""

    id: str
    name: str
    courses: list[str]
    open: bool


@dataclass(frozen=True)
class CohortMember:
    """Somebody in a cohort; name and e-mail as far as a roster or a sign-up said."""

    username: str
    role: Role
    name: str
    email: str


@dataclass(frozen=True)
class ConsentGiven:
    """What a person ticked at sign-up: ids of items of the text `version` (core.consent)."""

    version: str
    items: list[str]
    language: str


@dataclass(frozen=True)
class Charge:
    """What one lease cost. Units are core.units units, times whole milliseconds."""

    lease_id: str
    username: str
    course: str
    lab: str
    state: str
    held_ms: int
    charged: int
    """Units charged, refunds taken off; for an open lease including what is not posted yet."""
    overrun: int
    """The part of `charged` that lay beyond the last grant."""
    reason: str
    """Why it ended; empty while open."""


@dataclass(frozen=True)
class Budget:
    """A cohort's pooled account in core.units units: left = cap - settled - reserved."""

    cohort: str
    cap: int
    settled: int
    reserved: int
    overrun: int

    @property
    def left(self) -> int:
        """Units that can still be reserved; negative after an overrun."""
        return self.cap - self.settled - self.reserved


class _Http:
    """One pooled connection; turns answers into values, Refused or UsageUnavailable."""

    def __init__(self, url: str, authorization: str, timeout: float) -> None:
        import httpx  # late: a lab's server imports this module at start and calls much later

        self._httpx = httpx
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            headers={"Authorization": authorization}, timeout=timeout, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        response = self._send(method, self._url + path, body, params)
        if response.status_code == 409:
            raise Refused(from_json(Refusal, self._json(response)))
        if response.is_success:
            return None if response.status_code == 204 else self._json(response)
        raise UsageUnavailable(
            f"{method} {path}: the usage service answered {response.status_code}: "
            f"{response.text[:200]}"
        )

    def _send(self, method: str, url: str, body: Any, params: dict[str, str]) -> httpx.Response:
        def send() -> httpx.Response:
            return self._client.request(method, url, json=body, params=params)

        try:
            try:
                return send()
            except (self._httpx.RemoteProtocolError, self._httpx.ReadError, self._httpx.WriteError):
                return send()  # a kept-alive connection that the other side had closed
        except self._httpx.HTTPError as error:
            raise UsageUnavailable(f"{method} {url}: {type(error).__name__}: {error}") from error

    @staticmethod
    def _json(response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise UsageUnavailable(f"{response.url}: the answer is not JSON: {error}") from error


class UsageClient:
    """The service's internal API. Thread-safe; async callers use `asyncio.to_thread`.

    Every method raises UsageUnavailable; those that say so raise Refused.
    """

    def __init__(self, url: str, key: str, timeout: float = 5.0) -> None:
        """`url` such as ``http://127.0.0.1:8091/services/usage``; `key` from core.secrets."""
        self._http = _Http(
            url + "/api/internal" if not url.endswith("/") else url + "api/internal",
            f"Bearer {key}",
            timeout,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def __deepcopy__(self, _memo: dict[int, Any]) -> UsageClient:
        """Itself: traitlets copies every value of its configuration, a connection has no copy."""
        return self

    # -- GPUs and leases -----------------------------------------------------------------------

    def put_inventory(self, host: str, slots: list[Slot]) -> None:
        """Say which slots `host` has now. Slots no longer named take no new lab."""
        self._http.call("PUT", f"/hosts/{_part(host)}/inventory", [asdict(s) for s in slots])

    def reserve(self, request: ReserveRequest) -> Lease:
        """A lease for this start, the same one again for the same spawn id. Raises Refused."""
        return Lease.from_json(self._http.call("POST", "/leases", asdict(request)))

    def activate(self, lease_id: str, container_id: str) -> Lease:
        """The lab runs. Raises Refused when the lease has ended meanwhile."""
        body = {"container_id": container_id}
        return Lease.from_json(self._http.call("POST", f"/leases/{_part(lease_id)}/activate", body))

    def release(
        self, lease_id: str, held_ms: int | None, reason: str, platform_fault: bool = False
    ) -> None:
        """End a lease; again is harmless. `held_ms` None: charge up to what was last seen."""
        body = {"held_ms": held_ms, "reason": reason, "platform_fault": platform_fault}
        self._http.call("POST", f"/leases/{_part(lease_id)}/release", body)

    def observe(self, host: str, observation: Observation) -> list[LeaseOrder]:
        """An agent's heartbeat: what runs there, answered by how long each may go on."""
        answer = self._http.call("POST", f"/hosts/{_part(host)}/observations", asdict(observation))
        return [from_json(LeaseOrder, order) for order in answer]

    def set_slot_mode(
        self, device: str, mode: SlotMode, actor: str = "cli", reason: str = ""
    ) -> list[str]:
        """Open, drain or disable a slot, or every slot of a GPU, by id. Raises Refused."""
        body = {"device": device, "mode": mode, "actor": actor, "reason": reason}
        return list(self._http.call("PUT", "/slots", body))

    def prestart(self, cohort: str, course: str, lab: str, minutes: int | None = None) -> str:
        """Start this lab for every trainee of the cohort who has none; the id of the batch.

        What nobody opened after `minutes` (None: the setting) is returned. Raises Refused.
        """
        body = {"course": course, "lab": lab, "minutes": minutes}
        return str(self._http.call("POST", f"/cohorts/{_part(cohort)}/prestarts", body)["batch"])

    def prestarts(self, cohort: str) -> list[dict[str, Any]]:
        """The last batches, newest first: id, lab, and how many labs are in each state."""
        return list(self._http.call("GET", f"/cohorts/{_part(cohort)}/prestarts"))

    def cancel_prestart(self, cohort: str) -> int:
        """Start no more, return what nobody has opened; how many labs that concerns."""
        return int(self._http.call("DELETE", f"/cohorts/{_part(cohort)}/prestarts")["labs"])

    # -- people --------------------------------------------------------------------------------

    def check_sign_up(self, code: str, username: str, email: str, language: str) -> None:
        """Raises Refused when an event code is wrong, expired or full, or when `username` stands on
        a roster whose place this person may not take (usage.claims)."""
        body = {"code": code, "username": username, "email": email, "language": language}
        self._http.call("POST", "/codes/check", body)

    def sign_up(
        self, code: str, username: str, email: str, name: str, consent: ConsentGiven
    ) -> Enrolment:
        """Take a seat of an event code and record the consent, both or neither; again is harmless.

        Refusals are in the consent's language. Raises Refused.
        """
        body = {
            "code": code,
            "username": username,
            "email": email,
            "name": name,
            "consent": asdict(consent),
        }
        return from_json(Enrolment, self._http.call("POST", "/codes/sign-up", body))

    def enrolments(self, username: str) -> list[Enrolment]:
        """The cohorts of a person, with role and courses; empty for an unknown person."""
        answer = self._http.call("GET", "/enrolments", None, username=username)
        return [from_json(Enrolment, item) for item in answer]

    def cohorts(self) -> list[CohortCourses]:
        """Every cohort, the newest to end first."""
        return [from_json(CohortCourses, item) for item in self._http.call("GET", "/cohorts")]

    def members(self, cohort: str) -> list[CohortMember]:
        """The people of a cohort, by user name; nobody for an unknown one."""
        answer = self._http.call("GET", f"/cohorts/{_part(cohort)}/members")
        return [from_json(CohortMember, item) for item in answer]

    # -- set-up (key-cli) ------------------------------------------------------------------------

    def create_cohort(self, spec: CohortSpec) -> None:
        """Create the cohort or bring it to `spec`. Raises Refused for a value that cannot be."""
        self._http.call("PUT", f"/cohorts/{_part(spec.id)}", asdict(spec))

    def create_code(
        self, cohort: str, code: str, seats: int, expires: str = "", role: Role = "trainee"
    ) -> None:
        """Create or change an event code. `expires` ISO 8601 with zone; empty: cohort's end."""
        body = {"cohort": cohort, "seats": seats, "expires": expires, "role": role}
        self._http.call("PUT", f"/codes/{_part(code)}", body)

    def enrol(
        self, cohort: str, username: str, role: Role = "trainee", email: str = "", name: str = ""
    ) -> None:
        """Put a person into a cohort or change their role; they need not have signed in yet."""
        body = {"cohort": cohort, "username": username, "role": role, "email": email, "name": name}
        self._http.call("PUT", "/enrolments", body)

    def grant(
        self, cohort: str, amount: int, actor: str, reason: str, key: str, kind: str = "grant"
    ) -> Budget:
        """Book `amount` units into the pool as `kind` (grant, top-up, correction).

        `key` names this entry: the same key books once. Raises Refused.
        """
        body = {"amount": amount, "actor": actor, "reason": reason, "key": key, "kind": kind}
        return from_json(Budget, self._http.call("POST", f"/cohorts/{_part(cohort)}/entries", body))

    def budget(self, cohort: str) -> Budget:
        """The pooled account. Raises Refused for an unknown cohort."""
        return from_json(Budget, self._http.call("GET", f"/cohorts/{_part(cohort)}/budget"))

    def charges(self, cohort: str) -> list[Charge]:
        """What each lease of the cohort cost, newest first. Raises Refused."""
        answer = self._http.call("GET", f"/cohorts/{_part(cohort)}/charges")
        return [from_json(Charge, item) for item in answer]


class LabClient:
    """What a lab may ask about itself, with its own ``JUPYTERHUB_API_TOKEN``."""

    def __init__(self, url: str, token: str, timeout: float = 5.0) -> None:
        """`url` is ``DLI_USAGE_URL``, for example ``http://172.30.0.1:8000/services/usage``."""
        self._http = _Http(url.rstrip("/") + "/api/me", f"token {token}", timeout)

    def status(self, language: str) -> LabStatus:
        """Time left and undelivered warnings."""
        data = self._http.call("GET", "/status", None, lang=language)
        status = from_json(LabStatus, data)
        warnings = [from_json(LabWarning, warning) for warning in data["warnings"]]
        return LabStatus(**{**vars(status), "warnings": warnings})

    def seen(self, warning_id: str) -> None:
        """Record that the person was shown a warning."""
        self._http.call("POST", f"/warnings/{_part(warning_id)}/seen")

    def ask_for_more(self, minutes: int, note: str) -> None:
        """Ask the cohort's instructors for `minutes` more of GPU time. Raises Refused."""
        self._http.call("POST", "/requests", {"minutes": minutes, "note": note})


def _part(text: str) -> str:
    """`text` as one path segment."""
    return quote(text, safe="")
