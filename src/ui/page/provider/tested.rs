//! The answer of "Test connection".

use leptos::prelude::*;

use crate::model::connection::{PatientSummary, TestResult};
use crate::ui::part::icon::icon;
use crate::ui::part::panel::fact;

/// What the test read, from its JSON; nothing when that is none.
pub fn result(json: &str) -> AnyView {
    let Ok(test) = serde_json::from_str::<TestResult>(json) else { return ().into_any() };
    let yes_no = |yes: bool| if yes { "Offered" } else { "Not offered" };
    let patient_problem = test.patient_problem.map(|code| {
        let entry = code.entry();
        view! { <p class="mt-3"><span class="font-medium">"The patient could not be read: "</span> {entry.message} " " {entry.action}</p> }
    });
    view! {
        <div class="note note-success" role="status" id="test-result">
            {icon(icondata::LuCircleCheck, "size-5")}
            <div class="flex-1">
                <p class="font-semibold">{format!("The EHR answered in {} ms", test.duration_ms)}</p>
                <dl class="facts facts-2 mt-3">
                    {fact("Software", test.software)}
                    {test.token_active.map(|active| fact("Our token, by the EHR", if active { "Active" } else { "Not active" }))}
                    {fact("FHIR version", test.fhir_version)}
                    {fact("Record types", format!("{} served", test.resource_types))}
                    {fact("Creating patients", yes_no(test.creates_patient))}
                    {fact("Creating documents", yes_no(test.creates_document))}
                    {test.patient.map(|patient| fact("Patient read", patient_line(patient)))}
                </dl>
                {patient_problem}
            </div>
        </div>
    }
    .into_any()
}

fn patient_line(patient: PatientSummary) -> AnyView {
    let born = patient.birth_date.map(|date| format!("born {date}"));
    let record = patient.mrn.map(|mrn| format!("MRN {mrn}"));
    let more: Vec<_> = [born, patient.gender, record].into_iter().flatten().collect();
    view! {
        <span class="font-medium" data-patient="">{patient.name}</span>
        <span class="muted small block">{more.join(", ")}</span>
    }
    .into_any()
}
