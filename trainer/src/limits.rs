//! The bounds of everything the trainer reads or builds, each with its unit and its reason.

/// Bytes: the largest CSV file read; it is held in memory while it is parsed twice.
pub const MAX_CSV_BYTES: usize = 512 << 20;
/// Columns of a CSV file: beyond this it is a matrix, not a table with names.
pub const MAX_COLUMNS: usize = 4096;
/// Cells (rows x columns) of a CSV file: eight bytes each once parsed, so 1 GiB.
pub const MAX_CELLS: usize = 128 << 20;
/// Bytes of a header name: it ends up in manifests, dashboards and metrics.
pub const MAX_NAME_BYTES: usize = 128;
/// Bytes of one category or class name: it travels in every bundle.
pub const MAX_CATEGORY_BYTES: usize = 256;
/// Distinct values of a categorical column: more is free text or an identifier.
pub const MAX_CATEGORIES: usize = 256;
/// Distinct classes of a label: each costs one tree per boosting iteration.
pub const MAX_CLASSES: usize = 64;
/// Share of cells that must read as numbers before the others count as mistakes in a numeric
/// column instead of as categories.
pub const NUMERIC_SHARE: f64 = 0.9;

/// Rows: fewer cannot be learnt from.
pub const MIN_TRAINING_ROWS: usize = 2;
/// Bins of one numeric feature in boosting; the 256th value of a byte means "missing".
pub const MAX_BINS: usize = 255;
/// Boosting iterations.
pub const MAX_ITERATIONS: usize = 10_000;
/// Leaves of one tree.
pub const MAX_LEAVES: usize = 4096;
/// Nodes of all trees together: 1 Mi nodes are about 50 MB of ONNX.
pub const MAX_ENSEMBLE_NODES: usize = 1 << 20;
/// Iterations of the logistic solver.
pub const MAX_SOLVER_ITERATIONS: usize = 2_000;
/// Halvings of a step in one line search of the logistic solver: 2^-50 is past f64 rounding.
pub const MAX_LINE_SEARCH_STEPS: usize = 50;
/// Cells of the logistic design matrix (rows x encoded columns), eight bytes each: 2 GiB.
pub const MAX_DESIGN_CELLS: usize = 256 << 20;

/// Leaves of one exported tree-ensemble node: tract as shipped walks the leaf table from its
/// start for every tree, so one large table is quadratic, while ONNX Runtime pays for each further
/// node. CPU a row of 100 trees with 31 leaves, tract / ONNX Runtime: one node 1.7 ms / 21 us,
/// 256 leaves a node 0.9 ms / 48 us, 64 leaves a node 0.8 ms / 88 us.
pub const MAX_LEAVES_PER_NODE: usize = 256;
/// Golden vectors of a model: they travel in the bundle and run on every device.
pub const MAX_GOLDEN: usize = 256;
/// Bins of a calibration curve.
pub const CALIBRATION_BINS: usize = 10;

/// Bytes of a key file in PEM: a P-256 key takes about 250.
pub const MAX_KEY_BYTES: usize = 8 << 10;
/// Bytes of a signature, provenance or bill of materials that is read: ours take a few thousand, most of it a line for
/// each feature or file.
pub const MAX_SUPPLY_DOCUMENT_BYTES: usize = 1 << 20;
/// Signatures of one envelope: trainer's two keys, and room for others that counter-sign.
pub const MAX_ENVELOPE_SIGNATURES: usize = 8;
/// Files that one model signature names: as many blobs as a bundle may have, and room for a folder that others signed.
pub const MAX_SIGNED_FILES: usize = 256;
/// Entries of a bundle's folder that are looked at: signed files, and a few that the signature leaves out.
pub const MAX_FOLDER_ENTRIES: usize = MAX_SIGNED_FILES + 16;
/// Categories or classes that a bill of materials spells out for one column; of more it gives the number.
pub const MAX_BOM_CATEGORIES: usize = 32;
/// Times as many chunks as equal pieces would be that cuts at tensors may make: each costs 45 bytes of the manifest.
pub const CUTS_MORE: u64 = 2;
