//! The program: subcommands, and the wiring of each. No logic.

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use ehr_integrations::model::id::{PracticeId, ProviderId};
use ehr_integrations::model::key::{KeyAlgorithm, KeyOwner, KeyState};
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::sandbox::{self, Client, ClientAuth, Personality, SandboxConfig};
use ehr_integrations::server::App;
use ehr_integrations::server::clock::{Clock, SystemClock, SystemEntropy};
use ehr_integrations::server::config::{Config, EncryptionKey, LogFormat, Settings};
use ehr_integrations::server::flow::keys::{self as flow_keys, Imported};
use ehr_integrations::server::flow::{Caller, client, members, tokens};
use ehr_integrations::server::smart::keys;
use ehr_integrations::server::store::{Database, practice};
use ehr_integrations::web;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

#[path = "main/export.rs"]
mod export;

/// SMART on FHIR integrations for medical practices.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the application.
    Serve(Settings),
    /// Serve a stand-in EHR with synthetic patients, for rehearsal and tests.
    Sandbox(SandboxArgs),
    /// Apply the migrations that are missing, and stop.
    Migrate(Settings),
    /// Check the configuration, the database and the key.
    Doctor(Settings),
    /// Accounts, without a browser.
    #[command(subcommand)]
    Admin(Admin),
    /// API tokens of applications.
    #[command(subcommand)]
    Tokens(Tokens),
    /// Keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Bulk exports.
    #[command(subcommand)]
    Export(export::Export),
    /// Allow the installation's key to sign for a practice's provider as it is configured now.
    Approve(Approve),
}

#[derive(Args)]
struct SandboxArgs {
    /// Address to listen on.
    #[arg(long, env = "SANDBOX_ADDR", default_value = "127.0.0.1:4000")]
    sandbox_addr: SocketAddr,
    /// The application that connects: its callback and JWKS addresses are registered.
    #[arg(long, env = "APP_BASE_URL", default_value = "http://localhost:3000")]
    app_base_url: String,
    /// Further clients: `ID` (public) or `ID:SECRET`.
    #[arg(long)]
    client: Vec<String>,
    /// How many synthetic patients there are.
    #[arg(long, default_value_t = 40)]
    patients: usize,
    /// Life of access tokens, in seconds.
    #[arg(long, default_value_t = 3_600)]
    access_token_seconds: i64,
}

#[derive(Subcommand)]
enum Admin {
    /// Make a member, and the practice if there is none of this name. The password comes on standard input.
    Create {
        /// The practice's name.
        #[arg(long)]
        practice: String,
        /// The member's e-mail address.
        #[arg(long)]
        email: String,
        /// Read the password from standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// owner, admin, clinician or auditor.
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print a link with which a member sets a new password, within an hour.
    ResetPassword {
        /// The member's e-mail address.
        #[arg(long)]
        email: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Subcommand)]
enum Tokens {
    /// Make a token, and print it: this once only.
    Create {
        /// The practice's name.
        #[arg(long)]
        practice: String,
        /// What the token is for.
        #[arg(long)]
        name: String,
        /// read, config:write, connect, export, notes:write, separated by commas; or all.
        #[arg(long, default_value = "read")]
        scope: String,
        /// After how many days it ends.
        #[arg(long)]
        expires_days: Option<u32>,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Print a new encryption key and a new signing key, as lines of an environment file.
    Generate,
    /// List the signing keys.
    List(KeySet),
    /// Make a new signing key. It is published now, and signs once every EHR can know it.
    Rotate {
        /// RS384 or ES384.
        #[arg(long, default_value = "RS384")]
        algorithm: String,
        #[command(flatten)]
        set: KeySet,
    },
    /// Let a new key sign now, without waiting for the EHRs' caches.
    Use(NamedKey),
    /// Take a key out now: it signs no more and is published no more.
    Retire(NamedKey),
}

/// Whose keys.
#[derive(Args)]
struct KeySet {
    /// A practice's own keys, by the practice's name; without it, the installation's.
    #[arg(long)]
    practice: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
struct NamedKey {
    /// The key's name, its `kid`.
    kid: String,
    #[command(flatten)]
    set: KeySet,
}

#[derive(Args)]
struct Approve {
    /// The practice's name.
    #[arg(long)]
    practice: String,
    /// The provider's id.
    #[arg(long)]
    provider: String,
    /// What assertions name as their audience, for EHRs that do not want the token endpoint there.
    #[arg(long)]
    audience: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    // A missing file is fine; variables that are set already win.
    let dotenv = dotenvy::dotenv();
    let cli = Cli::parse_from(arguments());
    if let Err(error) = dotenv
        && !error.not_found()
    {
        eprintln!("error: .env: {error}");
        return ExitCode::FAILURE;
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo leptos watch` starts the program without a command; it means `serve`.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() == 1 && std::env::var_os("LEPTOS_WATCH").is_some() {
        arguments.push("serve".into());
    }
    arguments
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    // One TLS provider, chosen before anything connects.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli.command {
        Command::Serve(settings) => serve(settings).await,
        Command::Sandbox(args) => serve_sandbox(args).await,
        Command::Migrate(settings) => migrate(settings).await,
        Command::Doctor(settings) => doctor(settings).await,
        Command::Admin(command) => admin(command).await,
        Command::Tokens(command) => manage_tokens(command).await,
        Command::Keys(command) => manage_keys(command).await,
        Command::Export(command) => export::run(command).await,
        Command::Approve(command) => approve(command).await,
    }
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// The installation behind a command.
async fn open(settings: &Settings) -> anyhow::Result<App> {
    let config = Config::parse(settings)?;
    let db = Database::connect(&settings.database_url).await.context("database")?;
    let app = App::new(config, db, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
    match flow_keys::import(&app).await.map_err(readable)? {
        Imported::Nothing => {}
        Imported::Added(state) => tracing::info!(key.state = ?state, "the signing key of the environment is taken in"),
        Imported::NameTaken => {
            bail!("EHR_JWT_KEY_ID is the name of another key that is known already: give the new key a new name")
        }
    }
    Ok(app)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    start_log(settings.log_format);
    let leptos = web::leptos_options(settings.leptos_site_root.clone())?;
    web::assets::check(&leptos).map_err(anyhow::Error::msg)?;
    let app = open(&settings).await?;
    let listener = TcpListener::bind(settings.leptos_site_addr).await.context("listen")?;
    if let Some(link) = members::set_up_link(&app).await? {
        println!("No practice yet. Set up the first one with this link, within 24 hours:\n  {link}");
    }
    tracing::info!(address = %listener.local_addr()?, "listening");
    println!("Serving {} on {}", app.config.base_url, listener.local_addr()?);
    web::serve::serve(app, leptos, listener).await
}

async fn serve_sandbox(args: SandboxArgs) -> anyhow::Result<()> {
    start_log(LogFormat::Text);
    let base = args.app_base_url.trim_end_matches('/');
    let client = |id: &str, auth| Client {
        id: id.to_owned(),
        auth,
        redirect_uris: vec![format!("{base}/api/integrations/ehr/callback")],
        launch_url: Some(format!("{base}/api/integrations/ehr/launch")),
    };
    let mut clients = vec![
        client("demo-public", ClientAuth::Public),
        client("demo-secret", ClientAuth::Secret("sandbox-secret".into())),
        client("demo-key", ClientAuth::PrivateKeyJwt { jwks_url: format!("{base}/api/integrations/ehr/jwks") }),
    ];
    for text in &args.client {
        clients.push(match text.split_once(':') {
            Some((id, secret)) => client(id, ClientAuth::Secret(secret.to_owned())),
            None => client(text, ClientAuth::Public),
        });
    }
    let listener = TcpListener::bind(args.sandbox_addr).await.context("listen")?;
    let base_url = format!("http://{}", listener.local_addr()?);
    println!(
        "Sandbox EHR on {base_url}: issuer {base_url}/fhir, users dr.river, dr.stone, nurse.lake, password sandbox"
    );
    println!("Clients: demo-public, demo-secret (secret sandbox-secret), demo-key (by JWKS)");
    let config = SandboxConfig {
        base_url,
        clients,
        now: Arc::new(|| SystemClock.now().0),
        patients: args.patients,
        access_token_seconds: args.access_token_seconds,
        personality: Personality::default(),
    };
    Ok(sandbox::serve(config, listener, web::serve::stop_asked()).await?)
}

async fn migrate(settings: Settings) -> anyhow::Result<()> {
    Database::connect(&settings.database_url).await.context("database")?.close().await;
    println!("The database is up to date.");
    Ok(())
}

async fn doctor(settings: Settings) -> anyhow::Result<()> {
    let config = Config::parse(&settings)?;
    println!("ok  configuration: {}", config.base_url);
    let db = Database::connect(&settings.database_url).await.context("database")?;
    println!("ok  database, migrations");
    let app = App::new(config, db, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
    if app.config.signing_key.is_some() || !flow_keys::published(&app, None).await.map_err(readable)?.keys.is_empty() {
        println!("ok  signing key");
    } else {
        println!("--  no signing key: EHRs that want signed assertions cannot be connected");
    }
    let leptos = web::leptos_options(settings.leptos_site_root.clone())?;
    web::assets::check(&leptos).map_err(anyhow::Error::msg)?;
    println!("ok  assets: {}", leptos.site_root);
    Ok(())
}

async fn admin(command: Admin) -> anyhow::Result<()> {
    match command {
        Admin::Create { practice, email, password_stdin: _, role, settings } => {
            let mut password = String::new();
            std::io::stdin().take(4_096).read_to_string(&mut password).context("standard input")?;
            let password = password.trim_end_matches(['\r', '\n']);
            let role =
                role.map(|name| Role::parse(&name).with_context(|| format!("`{name}` is no role"))).transpose()?;
            let app = open(&settings).await?;
            members::create_by_operator(&app, &practice, &email, password, role).await.map_err(readable)?;
            println!("{email} is a member of {practice}. Sign in at {}/sign-in", app.config.base_url);
        }
        Admin::ResetPassword { email, settings } => {
            let app = open(&settings).await?;
            println!("{}", members::reset_link(&app, &email).await.map_err(readable)?);
        }
    }
    Ok(())
}

async fn manage_tokens(command: Tokens) -> anyhow::Result<()> {
    let Tokens::Create { practice, name, scope, expires_days, settings } = command;
    let scopes = match TokenScope::parse_list(&scope) {
        Ok(scopes) if !scopes.is_empty() => scopes,
        Ok(_) => bail!("a token needs a scope"),
        Err(word) => bail!("`{word}` is no scope; use read, config:write, connect, export, notes:write or all"),
    };
    let app = open(&settings).await?;
    let caller = operator(&app, &practice).await?;
    println!("{}", tokens::create(&app, &caller, &name, &scopes, expires_days).await.map_err(readable)?);
    Ok(())
}

async fn operator(app: &App, practice: &str) -> anyhow::Result<Caller> {
    let found = practice::by_name(app.db.pool(), practice).await?;
    let found = found.with_context(|| format!("there is no practice called `{practice}`"))?;
    Ok(Caller::operator(app, found.id))
}

async fn manage_keys(command: Keys) -> anyhow::Result<()> {
    let set = match &command {
        Keys::Generate => return generate_keys(),
        Keys::List(set)
        | Keys::Rotate { set, .. }
        | Keys::Use(NamedKey { set, .. })
        | Keys::Retire(NamedKey { set, .. }) => set,
    };
    let app = open(&set.settings).await?;
    let (caller, owner) = match &set.practice {
        Some(practice) => (operator(&app, practice).await?, KeyOwner::Practice),
        None => (Caller::operator(&app, PracticeId::new("")), KeyOwner::Installation),
    };
    match &command {
        Keys::Rotate { algorithm, .. } => {
            let algorithm = KeyAlgorithm::parse(algorithm).context("the algorithm is RS384 or ES384")?;
            flow_keys::rotate(&app, &caller, owner, algorithm).await.map_err(readable)?;
        }
        Keys::Use(key) => {
            let id = key_id(&app, &caller, owner, &key.kid).await?;
            flow_keys::use_now(&app, &caller, owner, &id).await.map_err(readable)?;
        }
        Keys::Retire(key) => {
            let id = key_id(&app, &caller, owner, &key.kid).await?;
            flow_keys::retire(&app, &caller, owner, &id).await.map_err(readable)?;
        }
        Keys::Generate | Keys::List(_) => {}
    }
    print_keys(&app, &caller, owner).await
}

async fn key_id(app: &App, caller: &Caller, owner: KeyOwner, kid: &str) -> anyhow::Result<String> {
    let set = flow_keys::set(app, caller, owner).await.map_err(readable)?;
    let found = set.keys.into_iter().find(|key| key.kid == kid);
    Ok(found.with_context(|| format!("there is no key called `{kid}`"))?.id)
}

async fn print_keys(app: &App, caller: &Caller, owner: KeyOwner) -> anyhow::Result<()> {
    let set = flow_keys::set(app, caller, owner).await.map_err(readable)?;
    let now = app.clock.now();
    println!("Published at {}", set.jwks_url);
    for key in &set.keys {
        let state = match key.state {
            KeyState::Next => format!("next: signs {}", key.times.activates_at.relative_to(now)),
            KeyState::Active => "active".into(),
            KeyState::Retiring => "retiring".into(),
            KeyState::Retired => "retired".into(),
        };
        println!("{}  {}  {state}", key.algorithm.as_str(), key.kid);
    }
    if set.keys.is_empty() {
        println!("No key yet. Make one with `ehr-integrations keys rotate`.");
    }
    Ok(())
}

fn generate_keys() -> anyhow::Result<()> {
    let mut bytes = [0_u8; 32];
    ehr_integrations::server::clock::Entropy::fill(&SystemEntropy, &mut bytes);
    println!("INTEGRATIONS_TOKEN_ENC_KEY={}", EncryptionKey::from_bytes(bytes).to_base64());
    let pem = keys::generate_pem(KeyAlgorithm::Rs384).map_err(|_| anyhow::anyhow!("no RSA key could be made"))?;
    println!("EHR_JWT_PRIVATE_KEY=\"{}\"", pem.expose_secret().trim_end().replace('\n', "\\n"));
    Ok(())
}

async fn approve(command: Approve) -> anyhow::Result<()> {
    let app = open(&command.settings).await?;
    let caller = operator(&app, &command.practice).await?;
    let used = client::approve_key(&app, &caller, &ProviderId::new(command.provider), command.audience.as_deref())
        .await
        .map_err(readable)?;
    println!("Approved: client {} of {} may be signed for at {}", used.client_id, used.issuer, used.token_endpoint);
    Ok(())
}

/// A flow's failure in one line for the command line.
fn readable(failure: ehr_integrations::server::failure::Failure) -> anyhow::Error {
    let entry = failure.code().entry();
    match &failure {
        ehr_integrations::server::failure::Failure::Problem(problem) if !problem.fields.is_empty() => {
            let fields: Vec<_> =
                problem.fields.iter().map(|error| format!("{} ({:?})", error.field, error.rule)).collect();
            anyhow::anyhow!("{}: {}", entry.name, fields.join(", "))
        }
        _ => anyhow::anyhow!("{}: {} {}", entry.name, entry.message, entry.action),
    }
}
