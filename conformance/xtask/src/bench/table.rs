use super::measure::Figures;

/// One job: what it cost the program, what it cost the tool, and how much it may cost.
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) tool: &'static str,
    pub(crate) ours: Figures,
    pub(crate) theirs: Figures,
    /// At most so many times the tool's wall time.
    pub(crate) wall_limit: f64,
    /// At most so many times the tool's CPU time, where there is such a limit.
    pub(crate) cpu_limit: Option<f64>,
    pub(crate) rss_limit_mib: f64,
}

/// Prints the names of the columns.
pub(crate) fn head() {
    println!("{:<32}{:>12}{:>12}{:>8}  limit", "", "swiftwal", "the tool", "ratio");
}

/// Prints the job, and a line for each of its figures.
pub(crate) fn row(row: &Row) {
    let (ours, theirs) = (&row.ours, &row.theirs);
    println!("{}\n  beside: {}", row.job, row.tool);
    times("wall", ours.wall_seconds, theirs.wall_seconds, Some(row.wall_limit));
    times("CPU", ours.cpu_seconds, theirs.cpu_seconds, row.cpu_limit);
    println!(
        "{:<32}{:>8.1} MiB{:>8.1} MiB{:>8}  {:.0} MiB  {}",
        "  peak RSS",
        ours.rss_mib,
        theirs.rss_mib,
        "",
        row.rss_limit_mib,
        verdict(ours.rss_mib, row.rss_limit_mib)
    );
}

fn times(name: &str, ours: f64, theirs: f64, limit: Option<f64>) {
    let ratio = ours / theirs;
    let judged = limit.map_or("-".to_owned(), |limit| format!("{limit:.2} x  {}", verdict(ratio, limit)));
    println!("{:<32}{ours:>10.3} s{theirs:>10.3} s{ratio:>8.2}  {judged}", format!("  {name}"));
}

fn verdict(figure: f64, limit: f64) -> &'static str {
    if figure <= limit { "ok" } else { "OVER" }
}
