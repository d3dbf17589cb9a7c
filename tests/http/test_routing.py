"""Which resource a path means, against a rule that knows no tree and no way back."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

from falcon import Request
from falcon.testing import create_environ
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tickets.web.rawpath import SegmentRouter

METHODS = ("GET", "PUT")
ENVIRON = create_environ()
# None is a field; few names, so that paths meet each other.
TEMPLATES = st.lists(st.sampled_from((None, "a", "b")), min_size=1, max_size=3).map(tuple)
ROUTES = st.dictionaries(
    TEMPLATES, st.sets(st.sampled_from(METHODS), min_size=1), min_size=2, max_size=9
)
PATHS = [path for size in range(5) for path in product("abc", repeat=size) if path[3:] < ("b",)]


def written(template: tuple[str | None, ...]) -> str:
    places = (name or f"{{field_{at}}}" for at, name in enumerate(template))
    return "/" + "/".join(places)


def routed(routes: dict[Any, set[str]]) -> SegmentRouter:
    router = SegmentRouter()
    for template, methods in routes.items():
        responders = {f"on_{each.lower()}": lambda *_: None for each in methods}
        router.add_route(written(template), SimpleNamespace(**responders))
    return router


def meant(routes: dict[Any, set[str]], path: tuple[str, ...], method: str) -> Any:
    """Return the template: literals go before fields, and methods before both."""
    fitting = [
        template
        for template in routes
        if len(template) == len(path)
        and all(name in (None, segment) for name, segment in zip(template, path, strict=True))
    ]
    fitting.sort(key=lambda template: [name is None for name in template])
    method = "GET" if method == "HEAD" else method
    return next((each for each in fitting if method in routes[each]), (*fitting, None)[0])


@tried(50, drill=200)
@given(routes=ROUTES)
def test_every_path_means_what_the_rule_says(routes: dict[Any, set[str]]) -> None:
    router = routed(routes)
    for path, method in product(PATHS, (*METHODS, "HEAD", "POST")):
        plain = "/" + "/".join(path)
        # As it stands, and decoded.
        encoded = "".join(f"//%{ord(each):x}/" for each in path) or "/"
        for target in (plain, f"{encoded}?x=/a/b"):
            check(router, routes, path, method, target)


def check(
    router: SegmentRouter, routes: Any, path: tuple[str, ...], method: str, target: str
) -> None:
    expected = meant(routes, path, method)

    found = router.find(
        target, Request(ENVIRON | {"REQUEST_METHOD": method, "RAW_URI": target})
    )

    if expected is None:
        assert found is None, target
        return
    assert found is not None, target
    _, responders, params, template = found
    assert template == written(expected), (method, target)
    assert params == {
        f"field_{at}": path[at] for at, name in enumerate(expected) if name is None
    }
    assert callable(responders[method])
    assert (method in responders) == (method.replace("HEAD", "GET") in routes[expected])
