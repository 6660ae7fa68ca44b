"""Order and filter of runs."""

from pmssm.supervisor.dashboard.data.run_order import ORDERS, next_order, sort_and_filter
from pmssm.supervisor.session.snapshot import RunView

RUNS = {
    "b": RunView(state="succeeded", progress={"val_loss": 0.1}),
    "a": RunView(state="running", progress={"val_loss": 0.2}, eta_s=5.0),
    "d": RunView(state="failed"),
    "c": RunView(state="running", stalled=True, eta_s=3.0),
}


def test_every_order_sorts_by_its_criterion() -> None:
    assert {order: "".join(sort_and_filter(RUNS, order, "")) for order in ORDERS} == {
        "plan": "badc",
        "urgency": "cdab",
        "val loss": "badc",
        "ETA": "cabd",
        "name": "abcd",
    }
    assert next_order("name") == "plan"


def test_a_filter_matches_name_or_state() -> None:
    assert sort_and_filter(RUNS, "plan", "RUN") == ["a", "c"]
    assert sort_and_filter(RUNS, "plan", "run c") == ["c"]
    assert sort_and_filter(RUNS, "plan", "nothing") == []
