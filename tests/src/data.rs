//! Rows to learn from and to predict: real weather, and made-up passengers with categories and gaps.
use std::path::{Path, PathBuf};

use crate::source_root;
use crate::wait::Chance;

/// Column of the weather that is predicted.
pub const RAIN: &str = "rain";
/// Column of the passengers that is predicted.
pub const SURVIVED: &str = "survived";

/// Writes rows `from..to` of the weather into `path` and returns it.
///
/// # Panics
/// When the tree's data or the file cannot be used.
pub fn weather(path: &Path, from: usize, to: usize) -> PathBuf {
    let all =
        std::fs::read_to_string(source_root().join("cli/data/weather_bellevue.csv")).expect("the tree has its data");
    let mut lines = all.lines();
    let mut text = format!("{}\n", lines.next().expect("a header"));
    for line in lines.skip(from).take(to - from) {
        text.push_str(line);
        text.push('\n');
    }
    std::fs::write(path, text).expect("the rows can be written");
    path.to_path_buf()
}

/// Writes `rows` passengers into `path` and returns it: numbers, categories, missing cells of both kinds.
///
/// # Panics
/// When the file cannot be written.
pub fn passengers(path: &Path, rows: usize, seed: u64) -> PathBuf {
    let mut chance = Chance::new(seed);
    let mut text = String::from("class,sex,age,fare,port,survived\n");
    for _ in 0..rows {
        let class = 1 + chance.below(3);
        let woman = chance.below(100) < 36;
        let age = if chance.below(5) == 0 { String::new() } else { format!("{:.1}", chance.below(800) as f64 / 10.0) };
        let fare = 5.0 + chance.below(2000) as f64 / (class * class * 10) as f64;
        let port = ["S", "C", "Q", ""][chance.below(4) as usize];
        let odds = 15 + if woman { 55 } else { 0 } + 10 * (3 - class);
        let survived = u8::from(chance.below(100) < odds);
        let sex = if woman { "female" } else { "male" };
        text.push_str(&format!("{class},{sex},{age},{fare:.3},{port},{survived}\n"));
    }
    std::fs::write(path, text).expect("the rows can be written");
    path.to_path_buf()
}

/// Returns header and rows of a plain CSV file without quotes.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(path).expect("the rows can be read");
    let mut rows = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    (header, rows.collect())
}
