//! The four switches of a practice, with what each needs.

use leptos::prelude::*;

use crate::model::provider::ProviderPage;
use crate::model::settings::Flags;
use crate::ui::part::checkbox::checkbox;

/// The switches. `flags` is what is checked: saved, or typed before the form was refused.
pub fn switches(page: &ProviderPage, flags: Flags) -> AnyView {
    let name = &page.card.name;
    let lacks = |offered: bool, what: &str| (!offered).then(|| format!("{name} does not offer {what}."));
    view! {
        <fieldset class="space-y-4" disabled=!page.may_write>
            <legend class="title-3">"What this practice allows"</legend>
            <p class="muted small">"These switches hold for every provider of the practice. Everything starts read-only."</p>
            {checkbox(
                "enable_write",
                "Enable write",
                "Allows creating records at all. Needs the EHR's write scopes; connect again after switching it on.",
                None,
                flags.enable_write,
            )}
            {checkbox(
                "enable_patient_create",
                "Patient create",
                "Needs Enable write, and the scope to create patients.",
                lacks(page.writes.patient, "creating patients"),
                flags.enable_patient_create,
            )}
            {checkbox(
                "enable_note_create",
                "Draft note create",
                "Needs Enable write, and the scope to create documents. A clinician files each note.",
                lacks(page.writes.note, "filing notes"),
                flags.enable_note_create,
            )}
            {checkbox(
                "enable_bulk_export",
                "Bulk export",
                "Needs a signing key and the EHR's approval for system access.",
                lacks(page.writes.bulk, "bulk export"),
                flags.enable_bulk_export,
            )}
        </fieldset>
    }
    .into_any()
}
