//! `/troubleshooting`: the error catalogue as a page. Each code is an anchor.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::model::problem::{CATALOGUE, Entry};
use crate::ui::part::panel::PageHeader;

/// The page.
pub fn troubleshooting() -> AnyView {
    let rows: Vec<_> = CATALOGUE.iter().map(row).collect();
    view! {
        <Title text="Troubleshooting"/>
        <PageHeader
            title="Troubleshooting"
            text="Every error that this product shows, its likely cause and what to do. A request id leads the operator to the details in the log."
        />
        <p class="mb-6">
            <a class="btn" href="/recordings" id="recordings">"Recent attempts: what each connect and launch did"</a>
        </p>
        <section class="panel" aria-label="Errors">
            <table class="grid-table">
                <thead>
                    <tr><th scope="col">"Error"</th><th scope="col">"Likely cause"</th><th scope="col">"What to do"</th></tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </section>
    }
    .into_any()
}

fn row(entry: &'static Entry) -> AnyView {
    view! {
        <tr id=entry.name>
            <th scope="row">
                <span class="font-medium">{entry.message}</span>
                <code class="muted small mt-1 block font-normal">{entry.name}</code>
            </th>
            <td data-label="Likely cause">{entry.cause}</td>
            <td data-label="What to do">{entry.action}</td>
        </tr>
    }
    .into_any()
}
