//! Tables, as text for people and for the scripts of SwiftWAL 0.2.2.

use std::io::{self, Write};

/// A table as SwiftWAL 0.2.2 printed it: a header, a rule of `=` and the rows, with at least two spaces between
/// columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
}

/// A column of a table: its header and a text for each row.
#[derive(Debug)]
pub(crate) struct Column {
    header: &'static str,
    cells: Vec<String>,
}

impl Column {
    pub(crate) fn new(header: &'static str, cells: impl IntoIterator<Item = String>) -> Self {
        Self { header, cells: cells.into_iter().collect() }
    }

    fn cell(&self, row: usize) -> &str {
        self.cells.get(row).map_or("", String::as_str)
    }

    /// Returns the length of its longest text.
    fn width(&self) -> usize {
        let texts = self.cells.iter().map(String::as_str).chain([self.header]);
        texts.map(|text| text.chars().count()).max().unwrap_or_default()
    }
}

impl Table {
    /// Creates a table of `columns`, which must have the same number of rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// Adds columns, in order, as long as the table fits into lines of `width` characters.
    pub(crate) fn add_while_it_fits(&mut self, columns: Vec<Column>, width: usize) {
        for column in columns {
            let with_it: usize = self.columns.iter().map(|column| column.width() + 2).sum();
            if with_it + column.width() > width {
                return;
            }
            self.columns.push(column);
        }
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let last = self.columns.len().saturating_sub(1);
        // The rule is one character longer than the text, except in the last column.
        let widths: Vec<_> =
            (0..).zip(&self.columns).map(|(n, column)| column.width() + usize::from(n != last)).collect();
        let rows = self.columns.first().map_or(0, |column| column.cells.len());
        write_row(out, self.columns.iter().map(|column| column.header), &widths)?;
        let rules: Vec<_> = widths.iter().map(|width| "=".repeat(*width)).collect();
        write_row(out, rules.iter().map(String::as_str), &widths)?;
        (0..rows)
            .try_for_each(|row| write_row(out, self.columns.iter().map(|column| column.cell(row)), &widths))
    }
}

fn write_row<'a>(
    out: &mut dyn Write,
    row: impl Iterator<Item = &'a str>,
    widths: &[usize],
) -> io::Result<()> {
    let cells: Vec<_> = row.zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    writeln!(out, "{}", cells.join(" ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = ["2.72 MiB", "20130829T1125Z", "pg_basebackup_20130829T1125Z.tar.zst"].map(str::to_owned);
        let columns = ["Size", "Timestamp", "Swift Object Name"].into_iter().zip(row);
        Table::new(columns.map(|(header, cell)| Column::new(header, [cell])).collect())
    }

    fn text(table: &Table) -> String {
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_looks_as_the_original_printed_it() {
        assert_eq!(
            text(&table()),
            "Size      Timestamp       Swift Object Name\n\
             ========= =============== ====================================\n\
             2.72 MiB  20130829T1125Z  pg_basebackup_20130829T1125Z.tar.zst\n"
        );
    }

    #[test]
    fn a_column_is_added_only_where_the_line_is_wide_enough_for_it() {
        let more = || vec![Column::new("Timeline", ["1".to_owned()]), Column::new("WAL", ["x".to_owned()])];
        for (width, columns) in [(71, 3), (72, 4), (76, 4), (77, 5)] {
            let mut table = table();
            table.add_while_it_fits(more(), width);
            assert_eq!(table.columns.len(), columns, "{width}");
            assert!(columns == 3 || text(&table).lines().all(|line| line.len() <= width));
        }
    }
}
