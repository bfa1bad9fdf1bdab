//! `export start|list|status|watch|pause|resume|cancel|retry|delete`: bulk exports from the command line, by the
//! same flow as the API. A running server works on them; `--here` works on them in this process.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use ehr_integrations::model::export::{ExportLevel, ExportRequest, ExportState, ExportStatus};
use ehr_integrations::model::id::{ExportId, ProviderId};
use ehr_integrations::server::App;
use ehr_integrations::server::config::{LogFormat, Settings};
use ehr_integrations::server::engine::embedded;
use ehr_integrations::server::flow::Caller;
use ehr_integrations::server::flow::export::{self, Order};
use indicatif::{ProgressBar, ProgressStyle};

use super::{open, operator, readable, start_log};

/// How often a watched export is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum Export {
    /// Ask an EHR for an export; prints its id.
    Start(Start),
    /// List the last exports of a practice.
    List {
        /// The practice's name.
        #[arg(long)]
        practice: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print how an export stands, as the API answers it.
    Status(Which),
    /// Follow an export with a progress bar until it is over.
    Watch {
        #[command(flatten)]
        which: Which,
        /// Work on it in this process, without a running server.
        #[arg(long)]
        here: bool,
    },
    /// Hold an export.
    Pause(Which),
    /// Let an export that is held go on.
    Resume(Which),
    /// End an export, and let the EHR clean up.
    Cancel(Which),
    /// Fetch the files of an export again that could not be had.
    Retry(Which),
    /// Forget an export that is over. What was taken in stays.
    Delete(Which),
}

#[derive(Args)]
pub(super) struct Start {
    /// The practice's name.
    #[arg(long)]
    practice: String,
    /// The provider's id.
    #[arg(long)]
    provider: String,
    /// system, patient or group.
    #[arg(long, default_value = "patient")]
    level: String,
    /// The group's id.
    #[arg(long)]
    group: Option<String>,
    /// Resource types, separated by commas; all without.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Only what changed since: a time such as 2026-06-30T08:00:00Z, or auto for the last export like it.
    #[arg(long)]
    since: Option<String>,
    /// A search that narrows a type, such as `Observation?category=laboratory`; several times.
    #[arg(long)]
    type_filter: Vec<String>,
    /// Only these elements, separated by commas.
    #[arg(long, value_delimiter = ',')]
    elements: Vec<String>,
    /// Only this patient, by id; several times.
    #[arg(long)]
    patient: Vec<String>,
    /// Follow it with a progress bar until it is over.
    #[arg(long)]
    watch: bool,
    /// Follow it, and work on it in this process, without a running server.
    #[arg(long)]
    here: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
pub(super) struct Which {
    /// The export's id.
    job: String,
    /// The practice's name.
    #[arg(long)]
    practice: String,
    #[command(flatten)]
    settings: Settings,
}

impl Which {
    async fn open(&self) -> anyhow::Result<(App, Caller, ExportId)> {
        let app = open(&self.settings).await?;
        let caller = operator(&app, &self.practice).await?;
        Ok((app, caller, ExportId::new(self.job.as_str())))
    }

    async fn give(&self, order: Order) -> anyhow::Result<()> {
        let (app, caller, id) = self.open().await?;
        match export::order(&app, &caller, &id, order).await.map_err(readable)? {
            Some(status) => println!("{}", line(&status)),
            None => println!("{id} is forgotten"),
        }
        Ok(())
    }
}

pub(super) async fn run(command: Export) -> anyhow::Result<()> {
    match command {
        Export::Start(order) => start(order).await,
        Export::List { practice, settings } => {
            let app = open(&settings).await?;
            let caller = operator(&app, &practice).await?;
            for status in export::page(&app, &caller).await.map_err(readable)?.exports {
                println!("{}", line(&status));
            }
            Ok(())
        }
        Export::Status(which) => {
            let (app, caller, id) = which.open().await?;
            let status = export::status(&app, &caller, &id).await.map_err(readable)?;
            println!("{}", serde_json::to_string_pretty(&status)?);
            Ok(())
        }
        Export::Watch { which, here } => {
            let (app, caller, id) = which.open().await?;
            watch(&app, &caller, &id, here).await
        }
        Export::Pause(which) => which.give(Order::Pause).await,
        Export::Resume(which) => which.give(Order::Resume).await,
        Export::Cancel(which) => which.give(Order::Cancel).await,
        Export::Retry(which) => which.give(Order::Retry { file: None }).await,
        Export::Delete(which) => which.give(Order::Delete).await,
    }
}

async fn start(order: Start) -> anyhow::Result<()> {
    let Some(level) = ExportLevel::parse(&order.level) else { bail!("the level is system, patient or group") };
    let app = open(&order.settings).await?;
    let caller = operator(&app, &order.practice).await?;
    let request = ExportRequest {
        level,
        group_id: order.group,
        types: order.types,
        since: order.since,
        type_filters: order.type_filter,
        elements: order.elements,
        patients: order.patient,
    };
    let provider = ProviderId::new(order.provider);
    let status = export::start(&app, &caller, &provider, request).await.map_err(readable)?;
    println!("{}", status.job_id);
    if order.watch || order.here {
        watch(&app, &caller, &ExportId::new(status.job_id), order.here).await?;
    }
    Ok(())
}

/// Follows an export until it is over or held; an error where it did not end well.
async fn watch(app: &App, caller: &Caller, id: &ExportId, here: bool) -> anyhow::Result<()> {
    let engine = here.then(|| {
        start_log(LogFormat::Text);
        tokio::spawn(embedded::run(app.clone(), app.stopping.clone()))
    });
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:32} {pos}/{len} files  {msg}") {
        bar.set_style(style);
    }
    let status = loop {
        let status = export::status(app, caller, id).await.map_err(readable)?;
        bar.set_length(u64::try_from(status.files.total).unwrap_or_default());
        bar.set_position(u64::try_from(status.files.done + status.files.failed).unwrap_or_default());
        bar.set_message(words(&status));
        bar.tick();
        if status.state.is_over() || status.paused {
            break status;
        }
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    app.stopping.cancel();
    if let Some(engine) = engine {
        engine.await?;
    }
    println!("{}", line(&status));
    for error in &status.errors {
        let file = error.file.map(|file| format!(" in file {file}")).unwrap_or_default();
        println!("  {}{file}: {}", error.error.name(), error.detail.as_deref().unwrap_or_default());
    }
    match status.state {
        ExportState::Complete => Ok(()),
        _ if status.paused => bail!("the export is held: {}", why(&status)),
        state => bail!("the export ended as {}", state.as_str()),
    }
}

fn why(status: &ExportStatus) -> String {
    status.next_poll_why.and_then(|why| serde_json::to_string(&why).ok()).unwrap_or_default()
}

fn words(status: &ExportStatus) -> String {
    let progress = status.progress.as_deref().unwrap_or_default();
    let rows = status.rows.total;
    format!("{}  {rows} resources  {} MB  {progress}", status.state.as_str(), status.bytes / 1_000_000)
}

fn line(status: &ExportStatus) -> String {
    let held = if status.paused { " (held)" } else { "" };
    format!(
        "{}  {}  {}{held}  {}/{} files  {} resources  {} refused  since {}",
        status.job_id,
        status.provider_id,
        status.state.as_str(),
        status.files.done,
        status.files.total,
        status.rows.total,
        status.rejected,
        status.created_at
    )
}
