//! Every bound of the dashboard, with its unit and its reason.

/// Devices shown as named tiles; beyond, a canvas shows the whole fleet and a table the devices page by page.
pub const TILES_MAX: usize = 120;
/// Rows of one page of a table: keeps a page far below 150 KB.
pub const TABLE_ROWS: usize = 100;
/// Entries of the history on one page.
pub const EVENTS_PAGE: usize = 100;
/// Decisions on the fleet page.
pub const DECISIONS: usize = 6;
/// Entries read to find those decisions among the devices' own.
pub const DECISIONS_LOOKED_AT: usize = 300;
/// Entries of a device's or rollout's history on its page, newest.
pub const TIMELINE: usize = 60;
/// Newest intervals drawn in a heat map or curve: a day of quarter-hours, and a page of moderate size.
pub const COLUMNS_MAX: usize = 96;
/// Features with a histogram; the rest is in the heat map.
pub const HISTOGRAMS_MAX: usize = 40;
/// Bins of a feature shown as one labelled bar each; more become a histogram on a true axis.
pub const LABELLED_BINS_MAX: usize = 14;
/// Bars of a histogram on a true axis.
pub const HISTOGRAM_BARS: usize = 28;
/// Bytes of a model card that are shown.
pub const CARD_MAX_BYTES: usize = 64 * 1024;
/// Milliseconds after which a silent device is shown as such: several heartbeats are missing.
pub const SILENT_AFTER_MS: u64 = 5 * 60 * 1000;
/// Colours for bundles; further ones share the last.
pub const BUNDLE_COLOURS: usize = 8;
/// Bytes of one answer with all cells: 10,000 devices take about 300 KB, beyond that the table pages.
pub const CELLS_MAX: usize = 50_000;
