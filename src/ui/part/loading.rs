//! Waiting for a page's data, and saying why it did not come.

use std::sync::Arc;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::message::problem_note;
use crate::api;
use crate::model::draft::Draft;
use crate::model::problem::{Code, Problem};
use crate::ui::browser;

/// What a page waits for: `None` while it is on its way.
type Body = Arc<dyn Fn() -> Option<AnyView> + Send + Sync>;

/// What a form post without JavaScript left behind for this page.
pub fn use_draft() -> Resource<Option<Draft>> {
    let query = use_query_map();
    let id = move || query.with(|query| query.get("draft"));
    Resource::new_blocking(id, |id| async move {
        match id {
            Some(id) => api::draft::draft(id).await.ok().flatten(),
            None => None,
        }
    })
}

/// A page that needs its data and its draft.
pub fn with_data<T>(
    data: Resource<Result<T, Problem>>,
    draft: Resource<Option<Draft>>,
    body: impl Fn(T, Option<Draft>) -> AnyView + Send + Sync + 'static,
) -> AnyView
where
    T: Clone + Send + Sync + 'static,
{
    until(Arc::new(move || {
        // Both are read before either is waited for: the page must know all that it waits for.
        let (data, draft) = (data.get(), draft.get());
        Some(match (data?, draft?) {
            (Ok(data), draft) => body(data, draft),
            (Err(problem), _) => failed(problem),
        })
    }))
}

/// A page that needs only its draft.
pub fn with_draft(
    draft: Resource<Option<Draft>>,
    body: impl Fn(Option<Draft>) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    until(Arc::new(move || draft.get().map(&body)))
}

fn until(body: Body) -> AnyView {
    view! { <Transition fallback=skeleton>{move || body()}</Transition> }.into_any()
}

fn skeleton() -> AnyView {
    view! {
        <div class="space-y-4" aria-busy="true">
            <p class="sr-only">"Loading"</p>
            <div class="skeleton h-8 w-56"></div>
            <div class="skeleton h-40 w-full"></div>
            <div class="skeleton h-40 w-full"></div>
        </div>
    }
    .into_any()
}

fn failed(problem: Problem) -> AnyView {
    let signed_out = problem.code == Code::Unauthenticated;
    Effect::new(move |_| {
        if signed_out {
            browser::go_to_sign_in();
        }
    });
    view! { <h1 class="title-1 mb-6">"This page cannot be shown"</h1> {problem_note(&problem, Vec::new())} }.into_any()
}
