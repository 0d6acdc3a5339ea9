//! Running the cases and showing what came of them.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{CASES, Harness};

/// Longest time one case may take; a case that hangs is a failure with a name.
const CASE_LIMIT: Duration = Duration::from_secs(120);

/// What came of a case that was not broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The promise held.
    Passed,
    /// The transport does not make this promise, for this reason.
    NotPromised(&'static str),
}

/// One cell of the table.
struct Cell {
    shown: &'static str,
    took: Duration,
    detail: Option<String>,
}

/// Runs every case on every harness, prints the table, and panics if a promise was broken.
///
/// Makes a Tokio runtime of its own for each case, so that a case leaves no task behind for the next.
pub fn check(harnesses: Vec<Arc<dyn Harness>>) {
    let filter = std::env::var("ASYA_CONFORMANCE").unwrap_or_default();
    let columns: Vec<String> = harnesses.iter().map(|harness| harness.name()).collect();
    let mut table = format!("\n{:<62}", "case");
    for column in &columns {
        let _ = write!(table, "{column:>22}");
    }
    table.push('\n');
    let mut details = Vec::new();
    let mut broken = 0;
    for case in CASES.iter().filter(|case| case.name.contains(&filter)) {
        let _ = write!(table, "{:<62}", case.name);
        for (harness, column) in harnesses.iter().zip(&columns) {
            let cell = run(case, Arc::clone(harness));
            eprintln!("{column}: {} {} ({} ms)", case.name, cell.shown, cell.took.as_millis());
            let _ = write!(table, "{:>22}", format!("{} {:>6} ms", cell.shown, cell.took.as_millis()));
            broken += usize::from(cell.shown == "BROKEN");
            if let Some(detail) = cell.detail {
                details.push(format!("{column}: {}: {detail}", case.name));
            }
        }
        table.push('\n');
    }
    println!("{table}");
    for detail in &details {
        println!("{detail}");
    }
    assert_eq!(broken, 0, "promises broken:\n{}", details.join("\n"));
}

fn run(case: &super::Case, harness: Arc<dyn Harness>) -> Cell {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let began = Instant::now();
    let limited = async { tokio::time::timeout(CASE_LIMIT, (case.run)(harness)).await };
    // A panicking case fails alone; nothing of it is looked at again.
    let result = match catch_unwind(AssertUnwindSafe(|| runtime.block_on(limited))) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow::anyhow!("not done after {} s", CASE_LIMIT.as_secs())),
        Err(_) => Err(anyhow::anyhow!("panicked, see above")),
    };
    let took = began.elapsed();
    runtime.shutdown_timeout(Duration::from_secs(5));
    match result {
        Ok(Verdict::Passed) => Cell { shown: "ok", took, detail: None },
        Ok(Verdict::NotPromised(reason)) => Cell { shown: "-", took, detail: Some(reason.to_owned()) },
        Err(error) => Cell { shown: "BROKEN", took, detail: Some(format!("{error:#}")) },
    }
}

/// A number that differs between runs and processes, for names of queues.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{}", since.as_millis(), process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
