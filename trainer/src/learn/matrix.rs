//! Rows of f32, as an input tensor has them.

/// A dense matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    columns: usize,
    cells: Vec<f32>,
}

impl Matrix {
    /// Returns a matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { columns, cells: vec![0.0; rows * columns] }
    }

    /// Returns a matrix of these rows; rows of another length than the first are cut or filled
    /// with NaN, which stands for missing.
    pub fn from_rows(rows: &[Vec<f32>]) -> Self {
        let columns = rows.first().map_or(0, Vec::len);
        let mut cells = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            cells.extend(row.iter().copied().chain(std::iter::repeat(f32::NAN)).take(columns));
        }
        Self { columns, cells }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.cells.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns one row; `row` must be below [`Self::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        &self.cells[row * self.columns..][..self.columns]
    }

    /// Returns one row to write to; `row` must be below [`Self::rows`].
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.cells[row * self.columns..][..self.columns]
    }

    /// Returns the cell in a row and column that exist.
    pub fn get(&self, row: usize, column: usize) -> f32 {
        self.row(row)[column]
    }

    /// Iterates over the rows.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.cells.chunks_exact(self.columns.max(1))
    }

    /// Returns all cells, row by row.
    pub fn cells(&self) -> &[f32] {
        &self.cells
    }
}
