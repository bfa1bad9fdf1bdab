//! Waiting for a page's data, and saying why it did not come.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use serde::de::DeserializeOwned;

use super::message::problem_note;
use crate::api;
use crate::model::body::Body;
use crate::model::draft::Draft;
use crate::model::problem::{Code, Problem};
use crate::ui::browser::{self, Answer};

/// What a page waits for: `None` while it is on its way.
type Content = Arc<dyn Fn() -> Option<AnyView> + Send + Sync>;

/// Gets an answer by its key.
type Fetch = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// Data that comes with the page, or after it.
pub struct Loaded<T> {
    answer: Resource<Answer>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Loaded<T> {}

impl<T: DeserializeOwned> Loaded<T> {
    /// The data, or why it did not come; `None` while it is on its way.
    pub fn get(self) -> Option<Result<T, Problem>> {
        let read = |json: String| serde_json::from_str(&json).map_err(|_| Problem::new(Code::Internal));
        self.answer.get().map(|answer| answer.and_then(read))
    }
}

impl<T> Loaded<T> {
    /// Gets the data anew.
    pub fn refetch(self) {
        self.answer.refetch();
    }
}

/// Loads a page's data, and again whenever the key changes. The page waits for it, so it arrives
/// complete.
pub fn load<T, F>(
    key: impl Fn() -> String + Send + Sync + 'static,
    fetch: impl Fn(String) -> F + Send + Sync + 'static,
) -> Loaded<T>
where
    F: Future<Output = Result<Body<T>, Problem>> + Send + 'static,
{
    let fetch = move |key| -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let body = fetch(key);
        Box::pin(async move { body.await.map(Body::into_text) })
    };
    Loaded { answer: resource(Arc::new(key), Arc::new(fetch)), of: PhantomData }
}

/// The one resource type of all pages (see [`Body`]).
fn resource(key: Arc<dyn Fn() -> String + Send + Sync>, fetch: Fetch) -> Resource<Answer> {
    Resource::new_blocking(move || key(), move |key| fetch(key))
}

/// Data without a key.
pub fn load_once<T, F>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Loaded<T>
where
    F: Future<Output = Result<Body<T>, Problem>> + Send + 'static,
{
    load(String::new, move |_| fetch())
}

/// What a form post without JavaScript left behind for this page.
pub fn use_draft() -> Loaded<Option<Draft>> {
    let query = use_query_map();
    let id = move || query.with(|query| query.get("draft").unwrap_or_default());
    load(id, |id| async move { if id.is_empty() { Ok(Body::none()) } else { api::draft::draft(id).await } })
}

/// A page that needs its data and its draft.
pub fn with_data<T: DeserializeOwned + 'static>(
    data: Loaded<T>,
    draft: Loaded<Option<Draft>>,
    content: impl Fn(T, Option<Draft>) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    until(Arc::new(move || {
        // Both are read before either is waited for: the page must know all that it waits for.
        let (data, draft) = (data.get(), draft.get());
        Some(match (data?, draft?) {
            (Ok(data), draft) => content(data, draft.ok().flatten()),
            (Err(problem), _) => failed(problem),
        })
    }))
}

/// A page that needs only its draft.
pub fn with_draft(
    draft: Loaded<Option<Draft>>,
    content: impl Fn(Option<Draft>) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    until(Arc::new(move || draft.get().map(|draft| content(draft.ok().flatten()))))
}

fn until(content: Content) -> AnyView {
    view! { <Transition fallback=skeleton>{move || content()}</Transition> }.into_any()
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
