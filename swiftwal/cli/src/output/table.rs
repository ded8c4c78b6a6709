use std::io::{self, Write};

/// A table as the original printed it: a header, a rule of `=` and the rows, each column two apart at least
/// from the next one's text.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&'static str; N], rows: Vec<[String; N]>) -> Self {
        Self { header, rows }
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths: [usize; N] = std::array::from_fn(|column| self.width(column));
        write_row(out, &self.header, &widths)?;
        write_row(out, &widths.map(|width| "=".repeat(width)), &widths)?;
        self.rows.iter().try_for_each(|row| write_row(out, row, &widths))
    }

    /// One more than the widest text; of the last column, exactly that.
    fn width(&self, column: usize) -> usize {
        let texts = self.rows.iter().map(|row| row[column].len());
        let widest = texts.max().unwrap_or_default().max(self.header[column].len());
        if column + 1 == N { widest } else { widest + 1 }
    }
}

fn write_row<const N: usize>(
    out: &mut dyn Write,
    row: &[impl AsRef<str>; N],
    widths: &[usize; N],
) -> io::Result<()> {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cell.as_ref()));
    let line = cells.collect::<Vec<_>>().join(" ");
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_as_the_original_printed_it() {
        let row = ["2.72 MiB", "20130829T1125Z", "pg_basebackup_20130829T1125Z.tar.zst"].map(str::to_owned);
        let mut out = Vec::new();
        Table::new(["Size", "Timestamp", "Swift Object Name"], vec![row]).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Size      Timestamp       Swift Object Name\n\
             ========= =============== ====================================\n\
             2.72 MiB  20130829T1125Z  pg_basebackup_20130829T1125Z.tar.zst\n"
        );
    }
}
