//! The table of measurements, with limits.

use super::measure::Measured;

/// The row of one job: the cost with swiftwal and with the other tool, and its limits.
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) tool: String,
    pub(crate) ours: Measured,
    pub(crate) theirs: Measured,
    pub(crate) limits: Limits,
}

/// The limits of a job.
#[derive(Default)]
pub(crate) struct Limits {
    /// The largest wall time, as a multiple of the other tool's.
    pub(crate) wall: Option<f64>,
    /// The largest median duration of a call, in milliseconds.
    pub(crate) call_ms: Option<f64>,
    /// The largest CPU time, as a multiple of the other tool's.
    pub(crate) cpu: Option<f64>,
    pub(crate) rss_mib: Option<f64>,
    /// The largest number of requests to Swift, Keystone and Ceph.
    pub(crate) requests: Option<f64>,
    /// The most that is stored, as a multiple of what the other tool stores.
    pub(crate) stored: Option<f64>,
}

/// Prints the header.
pub(crate) fn head() {
    println!("{:<32}{:>12}{:>12}{:>8}  limit", "", "swiftwal", "the tool", "ratio");
}

/// Prints the job, and a line for each of its figures.
pub(crate) fn row(row: &Row) {
    let Row { job, tool, ours, theirs, limits } = row;
    println!("{job}\n  beside: {tool}");
    let before = ours.before.as_ref();
    let (ours, theirs) = (ours.now, theirs.now);
    let wall = times("wall", " s", ours.wall_seconds, theirs.wall_seconds, limits.wall);
    println!("{wall}{}", beside_before(ours.wall_seconds, before.map(|before| before.wall_seconds), " s"));
    if limits.call_ms.is_some() {
        println!("{}", amounts("p50 of a call", " ms", ours.call_ms, theirs.call_ms, limits.call_ms));
    }
    let cpu = times("CPU", " s", ours.cpu_seconds, theirs.cpu_seconds, limits.cpu);
    println!("{cpu}{}", beside_before(ours.cpu_seconds, before.map(|before| before.cpu_seconds), " s"));
    let rss = amounts("peak RSS", " MiB", ours.rss_mib, theirs.rss_mib, limits.rss_mib);
    println!("{rss}{}", beside_before(ours.rss_mib, before.map(|before| before.rss_mib), " MiB"));
    if ours.requests > 0.0 || limits.requests == Some(0.0) {
        let requests = amounts("requests", "", ours.requests, theirs.requests, limits.requests);
        println!("{requests}{}", beside_before(ours.requests, before.map(|before| before.requests), ""));
    }
    if ours.stored_mib > 0.0 {
        let stored = times("stored", " MiB", ours.stored_mib, theirs.stored_mib, limits.stored);
        println!(
            "{stored}{}",
            beside_before(ours.stored_mib, before.map(|before| before.stored_mib), " MiB")
        );
    }
}

/// The cost with the program given by `--against`, and the ratio to it.
fn beside_before(now: f64, before: Option<f64>, unit: &str) -> String {
    before
        .map_or_else(String::new, |before| format!("   before: {before:.3}{unit}, now {:.2} x", now / before))
}

fn times(name: &str, unit: &str, ours: f64, theirs: f64, limit: Option<f64>) -> String {
    let ratio = ours / theirs;
    let [ours_shown, theirs_shown] = [ours, theirs].map(|figure| format!("{figure:.3}{unit}"));
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit:.2} x  {}", verdict(ratio, limit)));
    format!("{:<32}{ours_shown:>12}{theirs_shown:>12}{ratio:>8.2}  {judged}", format!("  {name}"))
}

fn amounts(name: &str, unit: &str, ours: f64, theirs: f64, limit: Option<f64>) -> String {
    let [ours_shown, theirs_shown] = [ours, theirs].map(|figure| format!("{figure:.1}{unit}"));
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit:.0}{unit}  {}", verdict(ours, limit)));
    format!("{:<32}{ours_shown:>12}{theirs_shown:>12}{:>8}  {judged}", format!("  {name}"), "")
}

/// Returns the line of a figure that the other tool doesn't have.
pub(crate) fn amount(name: &str, unit: &str, ours: f64, limit: Option<f64>) -> String {
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit}{unit}  {}", verdict(ours, limit)));
    format!("{:<32}{:>12}{:>20}  {judged}", format!("  {name}"), format!("{ours:.2}{unit}"), "")
}

fn verdict(figure: f64, limit: f64) -> &'static str {
    if figure <= limit { "ok" } else { "OVER" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_shown_beside_what_it_was_before() {
        assert_eq!(beside_before(3.0, Some(4.0), " s"), "   before: 4.000 s, now 0.75 x");
        assert_eq!(beside_before(3.0, None, " s"), "");
    }
}
