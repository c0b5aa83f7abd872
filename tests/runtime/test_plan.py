"""What the coordinator decides: shares are whole and even, orders lead to a picture without orders, whatever came before."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import parse_runs
from muskox.coordination.layout import GenerationRecord, JobPhase, MemberRecord, WorkerRecord
from muskox.runtime.plan import DEATHS_MAX, Abort, Assign, Explain, Form, JobView, Order, Picture, plan, share, staffing

NODES = ("ann", "bob", "cat", "dan", "eve")
BITS = "x86"


def member(name: str, fingerprint: str = BITS) -> MemberRecord:
    return MemberRecord(name=name, folder_id=name, incarnation="i", address="h:1", pid=1, cores=1, fingerprint=fingerprint)


def worker(node: str) -> WorkerRecord:
    return WorkerRecord(node=node, address="h:2", pid=2)


def view(workers: Mapping[str, str] | None = None, **changes: object) -> JobView:
    """Return a job of twelve shards on ann and bob, with `workers` (name -> node)."""
    made = JobView(
        id="job-1",
        phase=JobPhase.WAITING,
        fingerprint=BITS,
        workers_max=0,
        submitted_ms=0,
        replicas=[("ann", "bob")] * 12,
        generation=GenerationRecord(number=0),
        workers={name: worker(node) for name, node in (workers or {}).items()},
        suspects=[],
    )
    return replace(made, **changes)


def members(*names: str) -> dict[str, MemberRecord]:
    return {name: member(name) for name in names}


def performed(picture: Picture, orders: list[Order]) -> Picture:
    """Return the picture once `orders` have been carried out."""
    assignments, jobs = dict(picture.assignments), {job.id: job for job in picture.jobs}
    for order in orders:
        match order:
            case Assign(node, wanted):
                assignments[node] = wanted
            case Form(job, generation):
                assert generation.number == jobs[job].generation.number + 1
                jobs[job] = replace(jobs[job], generation=generation, phase=JobPhase.RUNNING, reason=generation.reason)
            case Explain(job, reason):
                jobs[job] = replace(jobs[job], phase=JobPhase.WAITING, reason=reason)
            case Abort(job, _):
                del jobs[job]
    return Picture(picture.members, assignments, list(jobs.values()))


def shards_of(generation: GenerationRecord) -> list[int]:
    return sorted(shard for one in generation.members for shard in parse_runs(one.shards))


# -- share --

REPLICAS = st.lists(st.lists(st.sampled_from(NODES), max_size=3, unique=True), min_size=1, max_size=80)
WORKERS = st.dictionaries(st.sampled_from([f"w{number}" for number in range(8)]), st.sampled_from(NODES), min_size=1)


@given(REPLICAS, WORKERS, st.dictionaries(st.integers(0, 79), st.sampled_from([f"w{number}" for number in range(10)])))
def test_every_shard_is_owned_once_and_nobody_has_more_than_an_even_share(
    replicas: list[list[str]], workers: dict[str, str], before: dict[int, str]
) -> None:
    shares = share(replicas, workers, before)
    assert list(shares) == list(workers)
    assert sorted(shard for owned in shares.values() for shard in owned) == list(range(len(replicas)))
    longest = max(run for run in (1 << level for level in range(8)) if run == 1 or len(replicas) // run >= 4 * len(workers))
    runs = -(-len(replicas) // longest)
    assert max(len(owned) for owned in shares.values()) <= -(-runs // len(workers)) * longest


@given(REPLICAS, WORKERS)
def test_a_share_that_was_even_stays_where_it_was(replicas: list[list[str]], workers: dict[str, str]) -> None:
    first = share(replicas, workers, {})
    before = {shard: name for name, owned in first.items() for shard in owned}
    again = share(replicas, workers, before)
    assert {name: sorted(owned) for name, owned in again.items()} == {name: sorted(owned) for name, owned in first.items()}


@given(REPLICAS, WORKERS, st.data())
def test_after_a_death_the_others_keep_what_they_had(
    replicas: list[list[str]], workers: dict[str, str], data: st.DataObject
) -> None:
    first = share(replicas, workers, {})
    before = {shard: name for name, owned in first.items() for shard in owned}
    dead = data.draw(st.sampled_from(sorted(workers)))
    left = {name: node for name, node in workers.items() if name != dead}
    if left and run_length(len(replicas), len(left)) == run_length(len(replicas), len(workers)):
        after = share(replicas, left, before)
        assert all(set(first[name]) <= set(after[name]) for name in left)


def run_length(shards: int, workers: int) -> int:
    length = 1
    while shards // (2 * length) >= 4 * workers:
        length *= 2
    return length


def test_shards_go_where_their_bytes_are() -> None:
    shares = share([("ann",)] * 4 + [("bob",)] * 4, {"a": "ann", "b": "bob"}, {})
    assert shares == {"a": [0, 1, 2, 3], "b": [4, 5, 6, 7]}


def test_many_shards_are_owned_in_aligned_runs() -> None:
    shares = share([("ann",)] * 1024, {"a": "ann", "b": "bob"}, {})
    for owned in shares.values():
        starts = sorted(owned)[::128]
        assert all(shard % 128 == 0 for shard in starts)
        assert sorted(owned) == [shard for start in starts for shard in range(start, start + 128)]


def test_one_more_worker_takes_its_part() -> None:
    before = {shard: "a" if shard < 6 else "b" for shard in range(12)}
    shares = share([()] * 12, {"a": "ann", "b": "bob", "c": "cat"}, before)
    assert sorted(map(len, shares.values())) == [4, 4, 4]
    assert set(shares["a"]) <= set(range(6)) and set(shares["b"]) <= set(range(6, 12))


# -- staffing --


@given(
    st.dictionaries(st.sampled_from(NODES), st.sampled_from([BITS, "arm"])), st.integers(0, 12), st.integers(1, 20), REPLICAS
)
def test_staff_is_bounded_by_the_asked_workers_and_by_the_shards(
    prints: dict[str, str], workers_max: int, shards: int, replicas: list[list[str]]
) -> None:
    job = view(workers_max=workers_max, replicas=replicas[:shards])
    staff = staffing(job, {name: member(name, text) for name, text in prints.items()})
    able = [name for name, text in prints.items() if text == BITS]
    assert set(staff) <= set(able)
    assert sum(staff.values()) == (min(workers_max or len(able), len(job.replicas)) if able else 0)
    assert all(count >= 1 for count in staff.values())
    assert not staff or max(staff.values()) - min(staff.values()) <= 1


def test_few_workers_go_where_most_shards_are() -> None:
    job = view(workers_max=1, replicas=[("cat",), ("cat", "bob"), ("ann",)])
    assert staffing(job, members("ann", "bob", "cat")) == {"cat": 1}


# -- plan --


def test_a_new_job_is_staffed_on_every_node() -> None:
    assert plan(Picture(members("ann", "bob"), {}, [view(is_patient=True)])) == [
        Assign("ann", {"job-1": 1}),
        Assign("bob", {"job-1": 1}),
    ]


def test_newcomers_wait_for_each_other_while_patient() -> None:
    staffed = {"ann": {"job-1": 1}, "bob": {"job-1": 1}}
    patient = Picture(members("ann", "bob"), staffed, [view({"a": "ann"}, is_patient=True)])
    assert plan(patient) == []
    assert isinstance(plan(replace(patient, jobs=[view({"a": "ann"})]))[0], Form)
    whole = plan(replace(patient, jobs=[view({"a": "ann", "b": "bob"}, is_patient=True)]))
    assert [order.generation.reason for order in whole if isinstance(order, Form)] == ["a joined, b joined"]


def running(*names: str) -> GenerationRecord:
    """Return a generation of `names`, each on the node of which it bears the first letter."""
    job = view({name: node_of(name) for name in names})
    (form,) = [order for order in plan(Picture(members(*NODES), {}, [job])) if isinstance(order, Form)]
    return form.generation


def node_of(name: str) -> str:
    return next(node for node in NODES if node[0] == name[0])


def test_after_a_death_the_survivors_go_on_at_once() -> None:
    job = view({"b": "bob"}, generation=running("a", "b"), phase=JobPhase.RUNNING, is_patient=True)
    (form,) = [order for order in plan(Picture(members("ann", "bob"), {}, [job])) if isinstance(order, Form)]
    assert [one.worker for one in form.generation.members] == ["b"]
    assert shards_of(form.generation) == list(range(12))
    assert form.generation.number == 2 and form.generation.reason == "a is gone"


def test_newcomers_do_not_hold_up_the_survivors() -> None:
    job = view({"b": "bob", "a2": "ann"}, generation=running("a", "b", "c"), phase=JobPhase.RUNNING, is_patient=True)
    (form,) = [order for order in plan(Picture(members("ann", "bob", "cat"), {}, [job])) if isinstance(order, Form)]
    assert [one.worker for one in form.generation.members] == ["b"]


def test_a_reported_worker_is_put_out_though_it_lives() -> None:
    job = view({"a": "ann", "b": "bob"}, generation=running("a", "b"), suspects=["a"], phase=JobPhase.RUNNING, is_patient=True)
    (form,) = [order for order in plan(Picture(members("ann", "bob"), {}, [job])) if isinstance(order, Form)]
    assert [one.worker for one in form.generation.members] == ["b"]
    assert form.generation.reason == "a was reported"


def test_who_stayed_ranks_before_who_joined() -> None:
    job = view({"b": "bob", "c": "cat", "a2": "ann"}, generation=running("a", "b", "c"), phase=JobPhase.RUNNING)
    (form,) = [order for order in plan(Picture(members("ann", "bob", "cat"), {}, [job])) if isinstance(order, Form)]
    assert [one.worker for one in form.generation.members] == ["b", "c", "a2"]


def test_when_all_are_lost_for_a_moment_the_generation_stays() -> None:
    job = view({}, generation=running("a", "b"), phase=JobPhase.RUNNING, is_patient=True)
    staffed = {"ann": {"job-1": 1}, "bob": {"job-1": 1}}
    assert plan(Picture(members("ann", "bob"), staffed, [job])) == []


def test_a_job_that_no_node_can_compute_says_why_once() -> None:
    picture = Picture({"ann": member("ann", "arm")}, {}, [view()])
    (explain,) = plan(picture)
    assert explain == Explain("job-1", "no node computes with the numeric fingerprint x86; those here: arm")
    assert plan(performed(picture, [explain])) == []


def test_a_job_without_nodes_says_so() -> None:
    assert plan(Picture({}, {}, [view()])) == [
        Explain("job-1", "no node computes with the numeric fingerprint x86; those here: none")
    ]


def test_too_many_deaths_on_every_node_end_a_job() -> None:
    few, many = ([f"ann.a1b2c3.{number}" for number in range(count)] for count in (DEATHS_MAX, DEATHS_MAX + 1))
    staffed = {"ann": {"job-1": 1}}
    assert plan(Picture(members("ann"), staffed, [view(suspects=few, fruitless=few)])) == []
    (abort,) = [
        order
        for order in plan(Picture(members("ann"), staffed, [view(suspects=many, fruitless=many)]))
        if isinstance(order, Abort)
    ]
    assert f"died {DEATHS_MAX + 1} times" in abort.reason


def test_deaths_between_which_rounds_finish_are_forgiven() -> None:
    many = [f"ann.a1b2c3.{number}" for number in range(10 * DEATHS_MAX)]
    assert staffing(view(suspects=many, fruitless=many[-3:]), members("ann")) == {"ann": 1}


def test_a_node_whose_workers_keep_dying_takes_no_further_part() -> None:
    sick = [f"ann.a1b2c3.{number}" for number in range(DEATHS_MAX + 1)]
    assert staffing(view(suspects=sick, fruitless=sick), members("ann", "bob")) == {"bob": 1}


def test_what_is_over_is_taken_from_its_nodes() -> None:
    assert plan(Picture(members("ann"), {"ann": {"job-0": 1}, "gone": {"job-0": 1}}, [])) == [
        Assign("ann", {}),
        Assign("gone", {}),
    ]


JOBS = st.builds(
    view,
    st.dictionaries(st.sampled_from(["a", "b", "c", "a2", "e"]), st.sampled_from(NODES)),
    id=st.sampled_from(["job-1", "job-2", "job-3"]),
    fingerprint=st.sampled_from([BITS, "arm"]),
    workers_max=st.integers(0, 4),
    submitted_ms=st.integers(0, 2),
    replicas=REPLICAS,
    generation=st.just(GenerationRecord(number=0)) | st.sampled_from([running("a", "b", "c"), running("b"), running("d", "e")]),
    suspects=st.lists(st.sampled_from(["a", "b", "z"]), unique=True),
    is_patient=st.booleans(),
)
PICTURES = st.builds(
    Picture,
    st.dictionaries(st.sampled_from(NODES), st.sampled_from([BITS, "arm"])).map(
        lambda prints: {name: member(name, text) for name, text in prints.items()}
    ),
    st.dictionaries(st.sampled_from(NODES), st.dictionaries(st.sampled_from(["job-1", "job-9"]), st.integers(1, 2))),
    st.lists(JOBS, unique_by=lambda job: job.id, max_size=3),
)


@given(PICTURES)
def test_orders_that_were_performed_leave_no_orders(picture: Picture) -> None:
    orders = plan(picture)
    assert plan(picture) == orders
    assert plan(performed(picture, orders)) == []


@given(PICTURES)
def test_a_generation_holds_every_shard_once_and_nobody_who_was_reported(picture: Picture) -> None:
    jobs = {job.id: job for job in picture.jobs}
    for order in plan(picture):
        if isinstance(order, Form):
            job = jobs[order.job]
            assert shards_of(order.generation) == list(range(len(job.replicas)))
            assert {one.worker for one in order.generation.members} <= set(job.workers) - set(job.suspects)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "kill", "report", "pass"]), st.sampled_from(NODES)), min_size=1, max_size=30
)


class Cluster:
    """Nodes that do as assigned: each keeps its workers, under names that are never used twice."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.job = view(replicas=[NODES[shard % 3 : shard % 3 + 2] for shard in range(12)])
        self.assignments: dict[str, Mapping[str, int]] = {}
        self.started = 0

    def happen(self, event: str, node: str) -> None:
        workers = dict(self.job.workers)
        mine = [name for name, record in workers.items() if record.node == node]
        match event:
            case "join":
                self.members.add(node)
            case "leave":
                self.members.discard(node)
                workers = {name: record for name, record in workers.items() if record.node != node}
            case "kill" if mine:
                del workers[mine[0]]
            case "report" if mine:
                self.job = replace(self.job, suspects=[*self.job.suspects, mine[0]])
        self.job = replace(self.job, workers=workers, is_patient=True)

    def obey(self) -> None:
        workers = {name: record for name, record in self.job.workers.items() if name not in self.job.suspects}
        for node in sorted(self.members):
            wanted = self.assignments.get(node, {}).get(self.job.id, 0)
            mine = [name for name, record in workers.items() if record.node == node]
            for name in mine[wanted:]:
                del workers[name]
            for _ in range(wanted - len(mine)):
                self.started += 1
                workers[f"{node}.{self.started}"] = worker(node)
        self.job = replace(self.job, workers=workers)

    def act(self) -> list[Order]:
        picture = Picture(members(*sorted(self.members)), self.assignments, [self.job])
        orders = plan(picture)
        after = performed(picture, orders)
        self.assignments, (self.job,) = dict(after.assignments), after.jobs
        return orders


@given(EVENTS)
def test_any_history_of_joins_and_deaths_converges(history: list[tuple[str, str]]) -> None:
    cluster = Cluster()
    for event, node in history:
        cluster.happen(event, node)
        cluster.act()
        if event == "pass":
            cluster.obey()
            cluster.job = replace(cluster.job, is_patient=False)
    for _ in range(4):
        cluster.obey()
        cluster.job = replace(cluster.job, is_patient=False)
        cluster.act()
    assert cluster.act() == []
    if cluster.members:
        generation = cluster.job.generation
        assert {one.node for one in generation.members} == cluster.members
        assert {one.worker for one in generation.members} == set(cluster.job.workers)
        assert shards_of(generation) == list(range(12))
