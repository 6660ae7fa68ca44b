"""What Slurm says about the nodes of a job, as 22.05 writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.gpus.node_slots import NodeShare
from pmssm.supervisor.launchers.slurm.node_shares import MAX_NODES, expand_nodes, parse_node_shares

JOB = "JobId=1 JobName=a ReqNodeList=(null) NodeList=n[1-3] NumNodes=3 TRES=cpu=5 JOB_GRES=gpu:5 {} MinCPUsNode=1\n"


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("Nodes=n[1-2] CPU_IDs=0-3 Mem=64 GRES=gpu:2(IDX:0-1)", [("n1", (0, 1), 4), ("n2", (0, 1), 4)]),
        ("Nodes=n1 CPU_IDs=0,2-3 Mem=0 GRES=gpu:a100:2(IDX:0,3)", [("n1", (0, 3), 3)]),
        (
            "Nodes=n1 CPU_IDs=0 Mem=0 GRES=gpu:a100:1(IDX:0),gpu:v100:1(IDX:2) Nodes=n3 CPU_IDs=1 Mem=0 GRES=",
            [("n1", (0, 2), 1), ("n3", (), 1)],
        ),
        ("Nodes=n1 CPU_IDs=0-1 Mem=0 GRES=nic:1(IDX:0),gpu:2(CNT:2),shard:gpu:1(IDX:3)", [("n1", (0, 1), 2)]),
        ("Nodes=n1 CPU_IDs=0-1 Mem=100", [("n1", (), 2)]),
        ("Nodes=n1 CPU_IDs= Mem=0 GRES=(null)", [("n1", (), None)]),
        ("", []),
    ],
)
def test_the_shares_of_nodes(text: str, shares: list[tuple[str, tuple[int, ...], int | None]]) -> None:
    assert parse_node_shares(JOB.format(text)) == tuple(NodeShare(*share) for share in shares)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("login,n[1-3,07]", ["login", "n1", "n2", "n3", "n07"]),
        ("n[08-11]x", ["n08x", "n09x", "n10x", "n11x"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("n[x]", []),
        ("", []),
    ],
)
def test_the_names_in_a_list_of_nodes(text: str, names: list[str]) -> None:
    assert expand_nodes(text) == names


@given(st.text("n[]-,019", max_size=30))
def test_any_text_gives_a_bounded_list(text: str) -> None:
    assert len(expand_nodes(text)) <= MAX_NODES
    assert len(parse_node_shares(JOB.format(f"Nodes={text} CPU_IDs={text} Mem=0 GRES=gpu:9({text})"))) <= MAX_NODES
