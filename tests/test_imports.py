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


# what a command may import of the package, beside other commands; types are anybody's
DOOR = {"api", "errors", "support", "report"}
NAMES = {
    "budgets",
    "encoders",
    "readouts",
    "backends.registry",
}  # registries without torch: what help pages offer by name


def beside_the_door(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """Commands, and what of the package they import at run time that is no part of the door."""
    commands = {name for name in graph.modules if name.startswith("neurorobust.cli.")}
    return {
        (command, found)
        for command in commands
        for found in graph.find_modules_directly_imported_by(command) - commands
        if found not in ("neurorobust", "neurorobust.cli")
        and found.split(".")[1] not in DOOR
        and found.removeprefix("neurorobust.") not in NAMES
    }


def test_commands_call_the_front_door_and_nothing_else():
    graph = grimp.build_graph("neurorobust", exclude_type_checking_imports=True)
    assert {"neurorobust.cli.compare", "neurorobust.cli.evaluate"} <= graph.modules
    assert beside_the_door(graph) == set()
    graph.add_import(importer="neurorobust.cli.faults", imported="neurorobust.backends.engine")
    assert beside_the_door(graph) == {("neurorobust.cli.faults", "neurorobust.backends.engine")}
