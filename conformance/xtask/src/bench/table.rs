use super::measure::Figures;

/// One job: what it cost the program, what it cost the tool, and how much it may cost.
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) tool: String,
    pub(crate) ours: Figures,
    pub(crate) theirs: Figures,
    pub(crate) limits: Limits,
}

/// What is limited of it.
#[derive(Default)]
pub(crate) struct Limits {
    /// At most so many times the tool's wall time.
    pub(crate) wall: Option<f64>,
    /// At most so many times the tool's CPU time.
    pub(crate) cpu: Option<f64>,
    pub(crate) rss_mib: Option<f64>,
    /// Requests to Swift and Keystone.
    pub(crate) requests: Option<f64>,
}

/// Prints the names of the columns.
pub(crate) fn head() {
    println!("{:<32}{:>12}{:>12}{:>8}  limit", "", "swiftwal", "the tool", "ratio");
}

/// Prints the job, and a line for each of its figures.
pub(crate) fn row(row: &Row) {
    let Row { job, tool, ours, theirs, limits } = row;
    println!("{job}\n  beside: {tool}");
    times("wall", ours.wall_seconds, theirs.wall_seconds, limits.wall);
    times("CPU", ours.cpu_seconds, theirs.cpu_seconds, limits.cpu);
    amounts("peak RSS", " MiB", ours.rss_mib, theirs.rss_mib, limits.rss_mib);
    if ours.requests > 0.0 {
        amounts("requests", "", ours.requests, theirs.requests, limits.requests);
    }
}

fn times(name: &str, ours: f64, theirs: f64, limit: Option<f64>) {
    let ratio = ours / theirs;
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit:.2} x  {}", verdict(ratio, limit)));
    println!("{:<32}{ours:>10.3} s{theirs:>10.3} s{ratio:>8.2}  {judged}", format!("  {name}"));
}

fn amounts(name: &str, unit: &str, ours: f64, theirs: f64, limit: Option<f64>) {
    let [ours_shown, theirs_shown] = [ours, theirs].map(|figure| format!("{figure:.1}{unit}"));
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit:.0}{unit}  {}", verdict(ours, limit)));
    println!("{:<32}{ours_shown:>12}{theirs_shown:>12}{:>8}  {judged}", format!("  {name}"), "");
}

fn verdict(figure: f64, limit: f64) -> &'static str {
    if figure <= limit { "ok" } else { "OVER" }
}
