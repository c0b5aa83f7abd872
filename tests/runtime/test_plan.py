"""What the coordinator decides: orders lead to a picture without orders, whatever came before; each says why."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from pictures import BITS, NODES, leaving, member, members, performed, shards_of, view, worker

from muskox.coordination.layout import GenerationRecord, JobPhase
from muskox.runtime.planning.picture import DEATHS_MAX, Abort, Assign, Explain, Form, Order, Picture
from muskox.runtime.planning.plan import plan


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
    assert plan(Picture(members("ann"), {}, [view(suspects=many, fruitless=many[-3:])])) == [Assign("ann", {"job-1": 1})]


def test_a_node_whose_workers_keep_dying_takes_no_further_part() -> None:
    sick = [f"ann.a1b2c3.{number}" for number in range(DEATHS_MAX + 1)]
    assert plan(Picture(members("ann", "bob"), {}, [view(suspects=sick, fruitless=sick)])) == [Assign("bob", {"job-1": 1})]


def test_what_is_over_is_taken_from_its_nodes() -> None:
    assert plan(Picture(members("ann"), {"ann": {"job-0": 1}, "gone": {"job-0": 1}}, [])) == [
        Assign("ann", {}),
        Assign("gone", {}),
    ]


def forms_of(picture: Picture) -> list[Form]:
    return [order for order in plan(picture) if isinstance(order, Form)]


def test_who_leaves_is_left_out_first_and_only_then_ended() -> None:
    staffed = {"ann": {"job-1": 1}, "bob": {"job-1": 1}}
    job = view({"a": "ann", "b": "bob"}, generation=running("a", "b"), phase=JobPhase.RUNNING, is_patient=True)
    form, assign = plan(Picture({"ann": member("ann"), "bob": leaving(member("bob"))}, staffed, [job]))
    assert isinstance(form, Form) and [one.worker for one in form.generation.members] == ["a"]
    assert form.generation.reason == "b leaves with its node"
    assert assign == Assign("bob", {})


def test_a_drained_node_takes_no_part() -> None:
    picture = Picture(members("ann", "bob"), {"bob": {"job-1": 1}}, [view()], drained=["bob"])
    assert plan(picture) == [Assign("ann", {"job-1": 1}), Assign("bob", {})]


def test_who_alone_holds_the_state_keeps_it_before_another_begins() -> None:
    """ann leaves, and nobody else holds the state: bob's worker waits until ann's has ended, with a checkpoint."""
    here = {"ann": leaving(member("ann")), "bob": member("bob")}
    job = view({"a": "ann", "b2": "bob"}, generation=running("a"), phase=JobPhase.RUNNING)
    staffed = {"ann": {"job-1": 1}, "bob": {"job-1": 1}}
    assert plan(Picture(here, staffed, [job])) == [Assign("ann", {})]
    (form,) = forms_of(Picture(here, {"bob": {"job-1": 1}}, [replace(job, workers={"b2": worker("bob")})]))
    assert [one.worker for one in form.generation.members] == ["b2"]


def test_a_job_that_makes_room_says_so_only_when_its_workers_have_ended() -> None:
    urgent = view(id="job-2", asked={"priority": 5, "workers": 1, "submitted_ms": 9})
    job = view({"a": "ann"}, generation=running("a"), phase=JobPhase.RUNNING)
    picture = Picture(members("ann", cores=1), {"ann": {"job-1": 1}}, [job, urgent])
    (assign,) = plan(picture)
    assert assign == Assign("ann", {"job-2": 1})
    ended = performed(replace(picture, jobs=[replace(job, workers={}), urgent]), [assign])
    reason = "suspended: it waits for 1 core: 1 of 1 core in use by job-2"
    assert plan(ended) == [Explain("job-1", reason)]
    rested = performed(ended, plan(ended))
    assert plan(rested) == []
    again = replace(rested, jobs=[job for job in rested.jobs if job.id == "job-1"])
    assert plan(again) == [Assign("ann", {"job-1": 1})]
    assert plan(replace(again, jobs=[replace(job, is_resting=True) for job in again.jobs])) == [Assign("ann", {})]


def test_a_job_begins_with_the_least_that_it_asks_for_and_not_before() -> None:
    few, enough = (view(workers, asked={"workers_min": 2}) for workers in ({"a": "ann"}, {"a": "ann", "b": "bob"}))
    assert forms_of(Picture(members("ann", "bob", "cat"), {}, [few])) == []
    assert len(forms_of(Picture(members("ann", "bob", "cat"), {}, [enough]))) == 1


def test_a_worker_too_many_is_the_youngest_of_its_node() -> None:
    names = {"ann.a1b2c3.10": "ann", "ann.a1b2c3.9": "ann", "bob.a1b2c3.1": "bob"}
    job = view(names, asked={"workers": 2})
    (form,) = forms_of(Picture(members("ann", "bob"), {}, [job]))
    assert [one.worker for one in form.generation.members] == ["ann.a1b2c3.9", "bob.a1b2c3.1"]


def test_shards_move_from_a_slow_worker_and_then_stay() -> None:
    job = view({"a": "ann", "b": "bob"}, generation=running("a", "b"), phase=JobPhase.RUNNING, pace={"a": 1.0, "b": 1.2})
    staffed = {"ann": {"job-1": 1}, "bob": {"job-1": 1}}
    picture = Picture(members("ann", "bob"), staffed, [job])
    assert plan(picture) == []
    slow = replace(picture, jobs=[replace(job, pace={"a": 1.0, "b": 5.0})])
    (form,) = plan(slow)
    assert isinstance(form, Form) and form.generation.reason == "shards move from b, which took longer for a row"
    assert [one.shards for one in form.generation.members] == ["0-5,8-11", "6-7"]
    assert plan(performed(slow, [form])) == []


REPLICAS = st.lists(st.lists(st.sampled_from(NODES), max_size=3, unique=True), min_size=1, max_size=80)
ASKED = st.fixed_dictionaries(
    {
        "fingerprint": st.sampled_from([BITS, "arm"]),
        "workers": st.integers(0, 4),
        "workers_min": st.integers(0, 3),
        "cores": st.sampled_from([0.5, 1.0, 2.0]),
        "priority": st.integers(0, 1),
        "user": st.sampled_from(["kim", "lee"]),
        "submitted_ms": st.integers(0, 2),
    }
)
JOBS = st.builds(
    view,
    st.dictionaries(st.sampled_from(["a", "b", "c", "a2", "e"]), st.sampled_from(NODES)),
    id=st.sampled_from(["job-1", "job-2", "job-3"]),
    asked=ASKED,
    replicas=REPLICAS,
    generation=st.just(GenerationRecord(number=0)) | st.sampled_from([running("a", "b", "c"), running("b"), running("d", "e")]),
    suspects=st.lists(st.sampled_from(["a", "b", "z"]), unique=True),
    pace=st.dictionaries(st.sampled_from(["a", "b", "c", "a2", "e"]), st.sampled_from([1.0, 1.1, 3.0])),
    is_patient=st.booleans(),
    is_resting=st.booleans(),
)
PICTURES = st.builds(
    Picture,
    st.dictionaries(st.sampled_from(NODES), st.tuples(st.sampled_from([BITS, "arm"]), st.integers(1, 3), st.booleans())).map(
        lambda nodes: {
            name: member(name, text, cores=cores, is_leaving=leaves) for name, (text, cores, leaves) in nodes.items()
        }
    ),
    st.dictionaries(st.sampled_from(NODES), st.dictionaries(st.sampled_from(["job-1", "job-9"]), st.integers(1, 2))),
    st.lists(JOBS, unique_by=lambda job: job.id, max_size=3),
    drained=st.sets(st.sampled_from(NODES), max_size=1),
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
            assert shards_of(order.generation) == list(range(job.shards))
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
        picture = Picture(members(*sorted(self.members), cores=1), self.assignments, [self.job])
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
