"""No module imports itself by way of others; grimp (of import-linter) draws the graph."""

from __future__ import annotations

import graphlib

import pytest

grimp = pytest.importorskip("grimp", reason="needs grimp, which import-linter brings")


def test_no_circle_of_imports():
    graph = grimp.build_graph("neurorobust", exclude_type_checking_imports=False)
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imported) > 300
    try:
        order = list(graphlib.TopologicalSorter(imported).static_order())
    except graphlib.CycleError as error:
        raise AssertionError(" imports\n".join(error.args[1])) from None
    assert len(order) == len(imported)


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}}
    with pytest.raises(graphlib.CycleError) as raised:
        list(graphlib.TopologicalSorter(graph).static_order())
    assert sorted(raised.value.args[1][:-1]) == ["a", "b", "c"]
