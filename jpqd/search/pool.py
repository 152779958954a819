"""Structures that several processes run, here or on other machines: trials in a database.

The database is Optuna's. Whoever takes a trial renews a lease while it runs; a trial whose lease
has run out waits again for somebody else. A structure has one result, however often it was run.
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jpqd.core import seals
from jpqd.core.compression_plan import Structure
from jpqd.core.errors import RunError, UserError
from jpqd.search.strategies import _optuna

STORE = "JPQD_STORE"
"""The environment variable with the database's address: a recipe is no place for a password."""
LEASE = 60
"""The seconds after which a trial is given up whose taker has not been heard of."""
_RENEWALS = 4
_PAUSE = 0.2
_TRIES = 3
_ABOUT = "jpqd"
"""The study's attribute with what a worker must know."""

Result = tuple[float, float]
Run = Callable[[Structure], Result]


def parts(content: dict[str, Any]) -> dict[str, str]:
    """Return a hash of each thing that figures depend on."""
    return {name: seals.digest(value)[:16] for name, value in content.items()}


def address() -> str | None:
    return os.environ.get(STORE)


class Pool:
    """The trials of one search."""

    def __init__(self, study: Any, storage: Any) -> None:
        self.study, self.storage = study, storage
        self.watched: set[int] = set()

    @property
    def about(self) -> dict[str, Any]:
        with _clear():
            found: dict[str, Any] = self.study.user_attrs[_ABOUT]
            return found

    @property
    def is_open(self) -> bool:
        return bool(self.about["open"])

    def close(self) -> None:
        """Send the workers home."""
        with _clear():
            self.study.set_user_attr(_ABOUT, {**self.about, "open": False})

    def run_all(
        self, structures: Sequence[Structure], run: Run
    ) -> Iterator[tuple[Structure, Result, float]]:
        """Share structures with the workers, and yield each with its result and its seconds."""
        with _clear():
            left = set(structures)
            while left:
                # Again each time: a worker that was stopped gives its structure back as failed.
                self._put([one for one in structures if one in left])
                done = self._results()
                for structure in left & done.keys():
                    yield structure, *done[structure]
                left -= done.keys()
                if left and not self.take(run):
                    time.sleep(_PAUSE)

    def take(self, run: Run) -> bool:
        """Run a structure that waits, if there is one."""
        optuna = _library()
        with _clear():
            self._watch()
            optuna.storages.fail_stale_trials(self.study)
            if not self._trials("WAITING"):
                return False
            done: list[Structure] = []
            try:
                self.study.optimize(lambda trial: _run(trial, run, done), n_trials=1)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                if not done:
                    raise
                # Its lease ran out meanwhile (a machine that slept), and somebody else has it.
            return True

    def _watch(self) -> None:
        """Start the lease of every trial, also where its taker died before it could."""
        for trial in self._trials("RUNNING"):
            number = trial._trial_id
            if number not in self.watched:
                self.watched.add(number)
                self.storage.record_heartbeat(number)

    def _trials(self, *states: str) -> list[Any]:
        wanted = [_library().trial.TrialState[state] for state in states]
        found: list[Any] = self.study.get_trials(deepcopy=False, states=wanted)
        return found

    def _put(self, structures: Sequence[Structure]) -> None:
        """Add what is not under way, also from a search that was killed."""
        optuna = _library()
        there = {_structure(trial) for trial in self._trials("WAITING", "RUNNING", "COMPLETE")}
        for structure in dict.fromkeys(structures):
            if structure not in there:
                state, about = optuna.trial.TrialState.WAITING, {"structure": structure}
                self.study.add_trial(optuna.create_trial(state=state, user_attrs=about))

    def _results(self) -> dict[Structure | None, tuple[Result, float]]:
        """Return the first result of each structure."""
        found: dict[Structure | None, tuple[Result, float]] = {}
        for trial in self._trials("COMPLETE"):
            result = (float(trial.value), float(trial.user_attrs["score"]))
            seconds = trial.duration.total_seconds()
            found.setdefault(_structure(trial), (result, seconds))
        return found


def _library() -> Any:
    return _optuna.load(STORE)


def _structure(trial: Any) -> Structure | None:
    """Return the structure of a trial; there is none where two took the last one at once."""
    given = trial.user_attrs.get("structure")
    return tuple((heads, neurons) for heads, neurons in given) if given else None


def _run(trial: Any, run: Run, done: list[Structure]) -> float:
    """Run the structure of a trial, and note when it has been run."""
    structure = _structure(trial)
    if structure is None:
        raise _library().TrialPruned
    kl, score = run(structure)
    done.append(structure)
    trial.set_user_attr("score", score)
    trial.set_user_attr("by", f"{platform.node()} {os.getpid()}")
    return kl


def share(url: str, name: str, about: dict[str, Any]) -> Pool:
    """Open the trials of a search, or begin them."""
    storage = _storage(url)
    with _clear():
        study = _library().create_study(study_name=name, storage=storage, load_if_exists=True)
        study.set_user_attr(_ABOUT, {**about, "open": True})
        return Pool(study, storage)


def join(url: str) -> Pool:
    """Open the trials of the newest search that is under way."""
    optuna = _library()
    storage = _storage(url)
    with _clear():
        for name in reversed(optuna.get_all_study_names(storage)):
            study = optuna.load_study(study_name=name, storage=storage)
            if study.user_attrs.get(_ABOUT, {}).get("open"):
                return Pool(study, storage)
    raise UserError(
        f"{_shown(url)}: no search is under way in this store. Start one with "
        f"{STORE}=URL jpqd run RECIPE, then its workers."
    )


def _storage(url: str) -> Any:
    """Open the store. Of two programs that make its tables at once, one is told they are there."""
    for _ in range(_TRIES - 1):
        with suppress(RunError):
            return _opened(url)
        time.sleep(_PAUSE)
    return _opened(url)


def _opened(url: str) -> Any:
    storages = _library().storages
    import sqlalchemy  # which Optuna brings

    try:
        with _clear(_shown(url)):
            return storages.RDBStorage(
                url,
                heartbeat_interval=max(1, LEASE // _RENEWALS),
                grace_period=LEASE,
                heartbeat_stale_trial_callback=storages.RetryHeartbeatStaleTrialCallback(),
            )
    except (sqlalchemy.exc.ArgumentError, ImportError) as error:
        raise UserError(
            f"{_shown(url)}: cannot be opened: {error}. Give an address such as "
            "sqlite:///trials.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME, and install its "
            "driver."
        ) from None


@contextmanager
def _clear(where: str = "The store") -> Iterator[None]:
    """Say in this program's words that a database does not answer."""
    optuna = _library()
    import sqlalchemy

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (sqlalchemy.exc.DBAPIError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunError(f"{where}: the database does not answer: {reason}") from None


def _shown(url: str) -> str:
    """Return the address without its password."""
    import sqlalchemy

    try:
        return str(sqlalchemy.make_url(url).render_as_string(hide_password=True))
    except sqlalchemy.exc.ArgumentError:
        return f"the store {url!r}"
