//! What was asked of the EHR beside what it granted.

use leptos::prelude::*;

use crate::model::scope::ScopeState;
use crate::ui::part::badge::{Tone, badge};

/// The table.
pub fn table(scopes: &[ScopeState]) -> AnyView {
    let rows: Vec<_> = scopes.iter().map(row).collect();
    let refused = scopes.iter().filter(|scope| scope.granted == Some(false)).count();
    let hint = (refused > 0).then(|| {
        view! {
            <p class="muted small mt-2">
                "What is not granted stays closed. Enable it in the EHR's app registration, then connect again."
            </p>
        }
    });
    view! {
        <div id="scopes">
            <h3 class="title-3">"Access: asked for and granted"</h3>
            {hint}
            <div class="mt-3 rounded-field border border-base-300">
                <table class="grid-table">
                    <thead>
                        <tr>
                            <th scope="col">"What it allows"</th>
                            <th scope="col">"Asked for"</th>
                            <th scope="col">"EHR lists it"</th>
                            <th scope="col">"Granted"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </div>
    }
    .into_any()
}

fn row(scope: &ScopeState) -> AnyView {
    let granted = match scope.granted {
        Some(true) => badge(Tone::Good, "Granted"),
        Some(false) => badge(Tone::Bad, "Not granted"),
        None => badge(Tone::Plain, "Not stated"),
    };
    let offered = match scope.offered {
        Some(true) => "Yes",
        Some(false) => "No",
        None => "No list",
    };
    view! {
        <tr>
            <td>
                <span class="font-medium">{scope.meaning.clone()}</span>
                {scope.without.clone().map(|text| view! { <span class="muted small block">{text}</span> })}
            </td>
            <td data-label="Asked for"><code>{scope.scope.clone()}</code></td>
            <td data-label="EHR lists it">{offered}</td>
            <td data-label="Granted">{granted}</td>
        </tr>
    }
    .into_any()
}
