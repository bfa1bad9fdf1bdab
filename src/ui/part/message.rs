//! What a page says about the last thing that was done: a notice, or a problem with its fields.
//!
//! Guards: only closed words come from the query. The same message area serves a form post without
//! JavaScript (query and draft) and one with it (the answer).

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::icon::icon;
use crate::model::draft::Draft;
use crate::model::field::Rule;
use crate::model::problem::{Code, FieldError, Problem};
use crate::ui::browser;
use crate::ui::text::{self, Notice};

/// The id of the problem's alert, which gets the focus when a form is refused.
const PROBLEM: &str = "problem";

#[derive(Clone)]
enum Shown {
    Nothing,
    Notice(Notice),
    Problem(Problem),
}

/// The messages of a page.
#[derive(Clone, Copy)]
pub struct Messages {
    shown: RwSignal<Shown>,
    fields: RwSignal<Vec<FieldError>>,
    seeded: StoredValue<bool>,
}

impl Messages {
    /// The messages that the address asks for: `?notice=WORD` or `?problem=CODE&request=ID`.
    pub fn from_query() -> Self {
        let query = use_query_map().get_untracked();
        let notice = query.get("notice").and_then(|word| Notice::parse(&word));
        let problem = query.get("problem").and_then(|code| Code::parse(&code)).map(|code| Problem {
            code,
            fields: Vec::new(),
            request_id: query.get("request").filter(|id| is_id(id)),
            retry_after: None,
        });
        let shown = match (problem, notice) {
            (Some(problem), _) => Shown::Problem(problem),
            (None, Some(notice)) => Shown::Notice(notice),
            (None, None) => Shown::Nothing,
        };
        Self { shown: RwSignal::new(shown), fields: RwSignal::new(Vec::new()), seeded: StoredValue::new(false) }
    }

    /// Takes over the problem of a draft, the first time that a page has it.
    pub fn seed(self, draft: Option<&Draft>) {
        if self.seeded.get_value() {
            return;
        }
        self.seeded.set_value(true);
        if let Some(problem) = draft.and_then(|draft| draft.problem.clone()) {
            self.fields.set(problem.fields.clone());
            self.shown.set(Shown::Problem(problem));
        }
    }

    /// Says that something was done.
    pub fn notice(self, notice: Notice) {
        self.fields.set(Vec::new());
        self.shown.set(Shown::Notice(notice));
    }

    /// Says nothing.
    pub fn clear(self) {
        self.fields.set(Vec::new());
        self.shown.set(Shown::Nothing);
    }

    /// Says why something was refused, and moves the focus there. Without a session there is nothing
    /// to say: the browser goes to the sign-in page.
    pub fn refuse(self, problem: Problem) {
        if problem.code == Code::Unauthenticated {
            browser::go_to_sign_in();
            return;
        }
        self.fields.set(problem.fields.clone());
        self.shown.set(Shown::Problem(problem));
        browser::focus_soon(PROBLEM);
    }

    /// The rule that a field breaks, by the last answer or by what was typed since.
    pub fn rule_of(self, field: &str) -> Option<Rule> {
        self.fields.with(|fields| fields.iter().find(|error| error.field == field).map(|error| error.rule))
    }

    /// Sets or clears the rule that a field breaks.
    pub fn set_rule(self, field: &str, rule: Option<Rule>) {
        if self.rule_of(field) != rule {
            self.fields.update(|fields| {
                fields.retain(|error| error.field != field);
                fields.extend(rule.map(|rule| FieldError { field: field.to_owned(), rule }));
            });
        }
    }
}

/// Whether a text may be an id of ours.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Where the messages are shown. `labels` names the fields of the page's form.
pub fn message_area(messages: Messages, labels: Vec<(String, String)>) -> AnyView {
    let shown = move || match messages.shown.get() {
        Shown::Nothing => ().into_any(),
        Shown::Notice(notice) => notice_note(notice),
        Shown::Problem(problem) => problem_note(&problem, labels.clone()),
    };
    view! { <div aria-live="polite">{shown}</div> }.into_any()
}

fn notice_note(notice: Notice) -> AnyView {
    let (class, sign) = if notice.is_warning() {
        ("note note-warning mb-6", icondata::LuTriangleAlert)
    } else {
        ("note note-success mb-6", icondata::LuCircleCheck)
    };
    view! { <div class=class role="status">{icon(sign, "size-5")}<div>{notice.words()}</div></div> }.into_any()
}

/// A problem in words: what happened, why, what to do, and the fields that it is about.
pub fn problem_note(problem: &Problem, labels: Vec<(String, String)>) -> AnyView {
    let entry = problem.code.entry();
    let fields: Vec<_> = problem.fields.iter().map(|error| field_line(error, &labels)).collect();
    let about_fields = !fields.is_empty();
    let cause = (!about_fields).then(|| {
        view! {
            <p class="mt-1">{entry.cause}</p>
            <p class="mt-1 font-medium">{entry.action}</p>
            <p class="small mt-2 flex flex-wrap gap-x-4">
                <a class="text-link" rel="external" href=format!("/troubleshooting#{}", entry.name)>"More about this"</a>
                <span class="muted">"Code " <code>{entry.name}</code></span>
                {problem
                    .request_id
                    .clone()
                    .map(|id| {
                        let steps = format!("/recordings?request={id}");
                        view! { <a class="text-link" rel="external" href=steps>"Request " <code>{id}</code></a> }
                    })}
            </p>
        }
    });
    view! {
        <div class="note note-error mb-6" role="alert" id=PROBLEM tabindex="-1" autofocus=true data-problem=entry.name>
            {icon(icondata::LuCircleAlert, "size-5")}
            <div>
                <p class="font-semibold">{entry.message}</p>
                {cause}
                {about_fields.then(|| view! { <ul class="mt-1 list-disc space-y-1 pl-5">{fields}</ul> })}
            </div>
        </div>
    }
    .into_any()
}

fn field_line(error: &FieldError, labels: &[(String, String)]) -> AnyView {
    let own = labels.iter().find(|(key, _)| *key == error.field).map(|(_, label)| label.clone());
    let label = own.unwrap_or_else(|| text::field_label(&error.field).to_owned());
    if label.is_empty() {
        return view! { <li>{text::rule(error.rule)}</li> }.into_any();
    }
    view! {
        <li>
            <a class="underline" rel="external" href=format!("#field-{}", error.field)>{label}</a>
            ": "
            {text::rule(error.rule)}
        </li>
    }
    .into_any()
}
