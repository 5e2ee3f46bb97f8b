"""The pages, as a Starlette application: for this machine only, nothing from elsewhere; writes rules, if it may."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from pixie_retrievers.errors import InvalidParameterError, OptionalDependencyError, PixieError
from pixie_retrievers.explore.explorer import Explorer
from pixie_retrievers.explore.state import MAX_QUERY, SearchState
from pixie_retrievers.render.marks import MarkedText
from pixie_retrievers.render.words import details_of, found_words, largest_contribution, not_read, number, title_of
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.rules.rules import Rules
from pixie_retrievers.tuning.effects import JudgedQuestions

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
except ImportError as error:
    raise OptionalDependencyError.of("the page", error.name or "starlette", "pixie-retrievers[explore]") from error

__all__ = ["make_app"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, a form would not say from where it is sent
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MAX_URL = 16_000
_FORMS = frozenset({"/rules", "/rules/undo"})
_EXCERPT = 320
_VISIBLE = 0.01  # what adds less is told as a number of tokens

_Call = Callable[[Request], Awaitable[Response]]


def make_app(
    retriever: SparseRetriever,
    *,
    hosts: Sequence[str] = ("127.0.0.1", "localhost", "[::1]"),
    judged: JudgedQuestions | None = None,
    keep: Callable[[Rules | None], object] | None = None,
) -> Starlette:
    """An application over an index.

    Args:
        retriever: What is explored. It stays open when the application ends.
        hosts: The names under which a browser may ask, without ports: another site's name that leads here is refused.
        judged: Questions on which a change of rules is tried before it is kept.
        keep: Puts rules into the index, or, for None, undoes their last change. Without it the page only reads.
    """
    explorer = Explorer(retriever, judged)
    pages = _Pages(explorer, keep)
    routes = [
        Route("/", pages.search),
        Route("/results", pages.results),
        Route("/document", pages.document),
        Route("/compare", pages.compare),
        Route("/why-not", pages.why_not),
        Route("/statistics", pages.statistics),
        Route("/rules", pages.rules, methods=["GET"]),
        Route("/rules", pages.keep, methods=["POST"]),
        Route("/rules/undo", pages.undo, methods=["POST"]),
        Mount("/static", StaticFiles(packages=[("pixie_retrievers.explore", "static")])),
    ]
    app = Starlette(routes=routes, exception_handlers={404: pages.missing})
    app.add_middleware(_Guard, hosts=frozenset(hosts), may_write=keep is not None)
    return app


class _Guard:
    """Asked only from this machine's own pages, only to read or to keep rules, and never at length."""

    def __init__(self, app: Any, hosts: frozenset[str], *, may_write: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._may_write = may_write

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(Request(scope))
        began = time.perf_counter()

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = _HEADERS | {"Server-Timing": f"total;dur={(time.perf_counter() - began) * 1000:.1f}"}
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await send(message)

        await (refused or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        is_form = self._may_write and request.method == "POST" and request.url.path in _FORMS
        if request.method not in ("GET", "HEAD") and not is_form:
            return PlainTextResponse("this page only reads", 405, headers={"Allow": "GET, HEAD"})
        if _name_of(request.headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("asked under a name that is not this machine's", 421)
        origin = request.headers.get("origin")
        named = _name_of((origin or "").partition("://")[2])
        if (origin is not None or is_form) and named not in self._hosts:
            return PlainTextResponse("asked by another site's page", 403)
        if is_form and not request.headers.get("content-length", "").isdigit():
            return PlainTextResponse("a form says how long it is", 411)
        if max(len(request.url.query), int(request.headers["content-length"]) if is_form else 0) > _MAX_URL:
            return PlainTextResponse("the address is too long", 414)
        return None


class _Pages:
    def __init__(self, explorer: Explorer, keep: Callable[[Rules | None], object] | None) -> None:
        self._explorer = explorer
        self._keep = keep
        self._secret = secrets.token_urlsafe(16)  # a form has it that one of these pages showed
        self._name = explorer.retriever.index.stats().path
        self._templates = Environment(
            loader=PackageLoader("pixie_retrievers.explore"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.filters["number"] = lambda value: "< 0.01" if 0 < value < _VISIBLE else number(value)

    async def search(self, request: Request) -> Response:
        return await self._page("search.html", request, self._searched)

    async def results(self, request: Request) -> Response:
        return await self._page("_results.html", request, self._searched)

    async def document(self, request: Request) -> Response:
        def shown(_: SearchState) -> dict[str, Any]:
            told = self._explorer.retriever.explain_document(request.query_params.get("id", ""))
            (document,) = self._explorer.retriever.get([told.id or ""])
            assert document is not None
            marked = MarkedText.of_text(told)
            largest = max((token.weight for token in told.tokens), default=1.0)
            note = not_read(marked.n_unread, len(told.text))
            title = title_of(document)[0]
            return {
                "told": told,
                "title": title or document.id,
                "details": details_of(document),
                "pieces": list(marked.pieces()),
                "largest": largest,
                "note": note,
            }

        return await self._page("document.html", request, shown)

    async def compare(self, request: Request) -> Response:
        def shown(state: SearchState) -> dict[str, Any]:
            a, b = request.query_params.get("a", ""), request.query_params.get("b", "")
            told = self._explorer.retriever.compare(state.query, a, b)
            largest = max((max(t.contribution_a, t.contribution_b) for t in told.tokens), default=1.0)
            return {"told": told, "sides": [self._hit(told.a, None), self._hit(told.b, None)], "largest": largest}

        return await self._page("compare.html", request, shown)

    async def why_not(self, request: Request) -> Response:
        def shown(state: SearchState) -> dict[str, Any]:
            id = request.query_params.get("id", "").strip()
            told = self._explorer.retriever.why_not(state.query, id, k=state.k, filter=state.filter) if id else None
            return {"told": told, "id": id}

        return await self._page("why_not.html", request, shown)

    async def statistics(self, request: Request) -> Response:
        return await self._page("statistics.html", request, lambda _: {"told": self._explorer.statistics()})

    async def rules(self, request: Request) -> Response:
        def shown(state: SearchState) -> dict[str, Any]:
            kept, asked = self._explorer.retriever.rules, self._explorer.rules(state)
            before = {one.term.id: one.factor for one in kept.factors}
            return {
                "kept": kept,
                "changed": [
                    (one.term.surface.strip() or "␣", before.get(one.term.id, 1.0), one.factor)
                    for one in asked.factors
                    if one.term.id in state.factors
                ],
                "effect": self._explorer.effect(state),
                "has_judged": self._explorer.judged is not None,
                "may_write": self._keep is not None,
                "secret": self._secret,
                "bare": state.without_factors(),
            }

        return await self._page("rules.html", request, shown)

    async def keep(self, request: Request) -> Response:
        return await self._written(request, lambda state: self._explorer.rules(state) if state.factors else None)

    async def undo(self, request: Request) -> Response:
        return await self._written(request, lambda _: None)

    async def _written(self, request: Request, made: Callable[[SearchState], Rules | None]) -> Response:
        fields = parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=64)
        state = SearchState()
        try:
            if not secrets.compare_digest(dict(fields).get("secret", "").encode(), self._secret.encode()):
                raise InvalidParameterError("this page was shown by a program that has ended: load it again")
            state = SearchState.read(fields)
            rules = await run_in_threadpool(made, state)
            if rules is not None or request.url.path.endswith("/undo"):
                assert self._keep is not None
                await run_in_threadpool(self._keep, rules)
        except (PixieError, ValueError) as error:
            return self._response("error.html", 400, state, message=str(error))
        return RedirectResponse(state.without_factors().url("/rules"), 303)

    async def missing(self, _request: Request, _error: Exception) -> Response:
        return self._response("error.html", 404, SearchState(), message="There is no such page.")

    async def _page(self, template: str, request: Request, made: Callable[[SearchState], dict[str, Any]]) -> Response:
        state = SearchState()
        try:
            state = SearchState.read(request.query_params.multi_items())
            values = await run_in_threadpool(made, state)
        except PixieError as error:
            is_missing = isinstance(error, KeyError)
            template = "_error.html" if template.startswith("_") else "error.html"
            return self._response(template, 404 if is_missing else 400, state, message=str(error))
        return self._response(template, 200, state, **values)

    def _response(self, template: str, status: int, state: SearchState, **values: Any) -> Response:
        shared = {"state": state, "name": self._name, "max_query": MAX_QUERY}
        return HTMLResponse(self._templates.get_template(template).render(shared | values), status)

    def _searched(self, state: SearchState) -> dict[str, Any]:
        results = self._explorer.search(state)
        largest = largest_contribution(results)
        return {
            "offers": self._explorer.offers,
            "tokens": self._explorer.tokens(state) if state.query.strip() else [],
            "hits": [self._hit(result, largest) for result in results],
        }

    @staticmethod
    def _hit(result: Any, largest: float | None) -> dict[str, Any]:
        title, begin = title_of(result.document)
        explanation = result.explanation
        marked = MarkedText.of_document(result.document.text, begin, explanation)
        start, stop = marked.passage(_EXCERPT)
        shown = [item for item in explanation.contributions if item.contribution >= _VISIBLE]
        scale = largest or max((item.contribution for item in explanation.contributions), default=1.0)
        return {
            "id": result.document.id,
            "title": title or result.document.id,
            "details": details_of(result.document),
            "score": result.score,
            "pieces": list(marked.pieces(start, stop)),
            "before": start > 0,
            "after": stop < len(marked.text),
            "note": not_read(marked.n_unread, len(result.document.text)),
            "tokens": [
                {
                    "surface": item.surface.strip() or "␣",
                    "contribution": item.contribution,
                    "share": max(0.0, min(1.0, item.contribution / scale)) if scale else 0.0,
                    "literal": item.in_query and item.in_document,
                    "found": found_words(explanation, item),
                }
                for item in shown
            ],
            "others": explanation.n_tokens - len(shown),
            "residual": explanation.score - sum(item.contribution for item in shown),
        }


def _name_of(host: str) -> str:
    """A host without its port."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].lower()
