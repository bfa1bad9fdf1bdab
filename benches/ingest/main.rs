//! How fast the files of an export come into the database: `scripts/bench ingest`.
//!
//! Each figure is of a process of its own, which gets its files from a server in another one, over loopback. The
//! floors are what each step takes by itself. Wants PostgreSQL in `EHR_TEST_POSTGRES`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ehr_integrations::sandbox::bulk::generate::write_folder;
use sqlx::Connection as _;
use sqlx::Executor as _;

mod floors;
mod measure;
mod serve;
mod whole;

use measure::Taken;

/// As many as the public comparison has: 500 MB.
const FILES: usize = 190;
const LINES: usize = 384_830;
const SMALL: usize = 20_000;
const SEED: u64 = 1;

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", folder] => runtime().block_on(serve::serve(PathBuf::from(folder))),
        ["one", part, rest @ ..] => println!("{}", one(part, rest)),
        flags => all(flags),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// One measurement, in a process of its own.
fn one(part: &str, rest: &[&str]) -> String {
    let folder = || Path::new(rest[0]);
    let json = |taken: Taken| serde_json::to_string(&taken).unwrap();
    match part {
        "download" => json(runtime().block_on(floors::download(folder(), rest[1]))),
        "split" => json(floors::split(folder())),
        "sqlite" => json(floors::sqlite(folder())),
        "postgres" => json(runtime().block_on(floors::postgres(folder(), rest[1]))),
        "everything" => json(runtime().block_on(whole::everything(folder(), rest[1], rest[2]))),
        "others" => serde_json::to_string(&runtime().block_on(whole::others(folder(), rest[1], rest[2]))).unwrap(),
        "curve" => serde_json::to_string(&runtime().block_on(whole::curve(rest[0], rest[1].parse().unwrap()))).unwrap(),
        _ => panic!("no such part"),
    }
}

fn again(words: &[&str]) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg("one").args(words).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn taken(words: &[&str]) -> Taken {
    serde_json::from_str(&again(words)).unwrap()
}

/// A folder of files, and its server.
struct Source {
    folder: String,
    url: String,
    server: Child,
}

impl Source {
    /// Files of so many lines in all; they are kept for the next time.
    fn of(files: usize, lines: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("ehr-bench-{files}-{lines}"));
        if !folder.join("index.json").exists() {
            write_folder(&folder, SEED, files, lines).unwrap();
        }
        let program = std::env::current_exe().unwrap();
        let mut server = Command::new(program).arg("serve").arg(&folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        Self { folder: folder.to_string_lossy().into_owned(), url: url.trim().to_owned(), server }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A new SQLite file, in a folder that goes with it.
struct Fresh(tempfile::TempDir);

impl Fresh {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite://{}/bench.db", self.0.path().display())
    }
}

/// A new database of the cluster.
fn fresh_postgres(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the cluster that scripts/postgres started")]
    let cluster = std::env::var("EHR_TEST_POSTGRES").ok()?;
    runtime().block_on(async {
        let mut admin = sqlx::postgres::PgConnection::connect(&format!("{cluster}/postgres")).await.unwrap();
        admin.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await.unwrap();
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    });
    Some(format!("{cluster}/{name}"))
}

/// The rows of the table that is printed.
#[derive(Default)]
struct Table(Vec<[String; 5]>);

impl Table {
    fn taken(&mut self, what: &str, taken: Taken, bar: &str) {
        let cells = [format!("{:.2}", taken.wall), format!("{:.2}", taken.cpu), format!("{:.0}", taken.peak)];
        let [wall, cpu, peak] = cells;
        self.0.push([what.into(), wall, cpu, peak, bar.into()]);
        self.last();
    }

    fn note(&mut self, what: &str, text: &str) {
        self.0.push([what.into(), String::new(), String::new(), String::new(), text.into()]);
        self.last();
    }

    fn last(&self) {
        if let Some(row) = self.0.last() {
            println!("| {} |", row.join(" | "));
        }
    }
}

fn bar(what: &str, is: f64, most: f64) -> String {
    format!("{what} {is:.2}, {} {most:.2}", if is <= most { "within" } else { "OVER" })
}

/// The middle one of three by the clock: the machine has other things to do now and then.
fn median(mut measure: impl FnMut() -> Taken) -> Taken {
    let mut three = [measure(), measure(), measure()];
    three.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    three[1]
}

fn all(flags: &[&str]) {
    let flag = |name: &str| flags.contains(&name);
    let mut table = Table::default();
    println!("| what | s | CPU s | peak MB | |\n|---|---|---|---|---|");
    let source = Source::of(FILES, LINES);
    let (folder, url) = (source.folder.as_str(), source.url.as_str());

    let download = median(|| taken(&["download", folder, url]));
    table.taken("download only, five at a time", download, &format!("{:.0} MB", download.figure / 1e6));
    let split = median(|| taken(&["split", folder]));
    table.taken("lines and heads only, from the cache", split, &format!("{:.0} lines", split.figure));
    let sqlite = median(|| taken(&["sqlite", folder]));
    table.taken("bare upsert into SQLite, from memory", sqlite, "");
    let floor = download.wall + split.wall + sqlite.wall;
    table.note("floor: the three, one after the other", &format!("{floor:.2} s"));

    let ours = median(|| taken(&["everything", folder, url, &Fresh::new().url()]));
    table.taken("all of it, into SQLite", ours, &bar("× floor", ours.wall / floor, 1.15));
    table.note("", &bar("CPU s", ours.cpu, 4.0));
    table.note("", &bar("peak MB", ours.peak, 100.0));
    peer(&mut table, url, ours);

    let others: whole::Others = serde_json::from_str(&again(&["others", folder, url, &Fresh::new().url()])).unwrap();
    let microseconds = |time: f64| format!("{time:.0} µs");
    table.note("a page's query, p99, while nothing is done", &microseconds(others.idle));
    table.note(
        "the same, meanwhile",
        &format!("{}; {}", microseconds(others.read), bar("× idle", others.read / others.idle, 3.0)),
    );
    table.note("another transaction that writes, p99, meanwhile", &microseconds(others.write));

    if let Some(bare) = fresh_postgres("bare") {
        let floor = median(|| {
            fresh_postgres("bare");
            taken(&["postgres", folder, &bare])
        });
        table.taken("bare COPY and merge into PostgreSQL, from memory", floor, "");
        let ours = median(|| taken(&["everything", folder, url, &fresh_postgres("whole").unwrap()]));
        table.taken("all of it, into PostgreSQL", ours, &bar("× bare", ours.wall / floor.wall, 1.2));
    } else {
        table.note("PostgreSQL", "NOT MEASURED: no EHR_TEST_POSTGRES");
    }

    let small = Source::of(SMALL, SMALL);
    let many = median(|| taken(&["everything", &small.folder, &small.url, &Fresh::new().url()]));
    table.taken("20,000 files of one line, into SQLite", many, &bar("× 190 files", many.wall / ours.wall, 4.0));
    drop(small);

    let mut sizes = vec![(19, LINES / 10, "50 MB")];
    if flag("--5gb") {
        sizes.push((1_900, LINES * 10, "5 GB"));
    }
    for (files, lines, what) in sizes {
        let source = Source::of(files, lines);
        let taken = taken(&["everything", &source.folder, &source.url, &Fresh::new().url()]);
        table.taken(
            &format!("{what}, into SQLite"),
            taken,
            &format!("peak {:.2} × that of 500 MB", taken.peak / ours.peak),
        );
    }

    let most = if flag("--10m") { "10000000" } else { "1000000" };
    let curve: Vec<(u64, f64)> = serde_json::from_str(&again(&["curve", &Fresh::new().url(), most])).unwrap();
    let curve: BTreeMap<_, _> = curve.into_iter().collect();
    for (rows, each) in curve {
        table.note(&format!("a resource in SQLite, up to {rows}"), &format!("{each:.1} µs"));
    }
}

/// A public client that only writes files.
fn peer(table: &mut Table, url: &str, ours: Taken) {
    #[expect(clippy::disallowed_methods, reason = "where scripts/bench put it")]
    let Ok(lib) = std::env::var("EHR_BENCH_SMART_FETCH") else {
        table.note("smart-fetch", "NOT MEASURED: it could not be installed");
        return;
    };
    let fetch = || {
        let place = tempfile::tempdir().unwrap();
        let began = std::time::Instant::now();
        let output = Command::new("python3")
            .arg(format!("{lib}/bin/smart-fetch"))
            .args(["bulk", "--no-compression", "--fhir-url", &format!("{url}/fhir")])
            .arg(place.path())
            .env("PYTHONPATH", &lib)
            .output()
            .unwrap();
        if !output.status.success() {
            eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Taken { wall: began.elapsed().as_secs_f64(), ..Taken::default() })
    };
    if fetch().is_none() {
        table.note("smart-fetch", "NOT MEASURED: it did not run");
        return;
    }
    let peer = median(|| fetch().unwrap());
    table.note("smart-fetch, into files, from its start to its end", &format!("{:.2} s", peer.wall));
    table.note("", &bar("× smart-fetch", ours.wall / peer.wall, 1.3));
}
