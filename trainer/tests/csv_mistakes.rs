//! Every mistake in a file is named by line and column, and comes with a hint.

use pinnace_trainer::data::{CsvOptions, DataError, Dataset, Kind, Label, Target, Values, parse_csv, read_csv};

fn parse(text: &str, options: &CsvOptions) -> Result<Dataset, DataError> {
    parse_csv(text.as_bytes(), "t.csv", options)
}

/// Returns the message and hint for a file that must be refused.
fn refused(bytes: &[u8], options: &CsvOptions) -> (String, String) {
    let error = parse_csv(bytes, "t.csv", options).expect_err("must be refused");
    assert!(!error.hint().is_empty());
    (error.to_string(), error.hint())
}

fn message(text: &str) -> String {
    refused(text.as_bytes(), &CsvOptions::classes("y")).0
}

#[test]
fn empty_files_and_files_without_rows() {
    assert_eq!(message(""), "t.csv is empty");
    assert_eq!(message(" \n\n"), "t.csv is empty");
    assert_eq!(message("a,y\n"), "t.csv has a header but no rows");
}

#[test]
fn headers() {
    assert_eq!(message("1,2\n3,4\n"), "t.csv has no header: line 1 holds only numbers");
    assert_eq!(message("a,y,a\n1,2,3\n"), "t.csv, line 1: columns 1 and 3 are both named \"a\"");
    assert_eq!(message("a,,y\n1,2,3\n"), "t.csv, line 1: column 2 has no name");
    assert_eq!(message(",a,y\n5,2,3\n9,2,3\n"), "t.csv, line 1: column 1 has no name");
    let long = format!("{},y\n1,2\n", "n".repeat(200));
    assert_eq!(message(&long), "t.csv, line 1: name 1 is longer than 128 bytes");
}

#[test]
fn a_first_column_that_counts_rows_is_left_out() {
    let data = parse(",a,y\n7,1.5,0\n8,2.5,1\n", &CsvOptions::classes("y")).expect("valid");
    assert_eq!(data.features().len(), 1);
    assert_eq!(data.features()[0].name, "a");
}

#[test]
fn cells() {
    let short = message("a,b,y\n1,2,3\n\n1,2\n");
    assert_eq!(short, "t.csv, line 4: 2 fields where the header has 3");
    let quoted = message("a,b,y\r\n\"two\r\nlines\",2,3\r\n1,2\r\n");
    assert_eq!(quoted, "t.csv, line 4: 2 fields where the header has 3");
    let numbers: String = (0..20).map(|i| format!("{i},0\n")).collect();
    let typo = message(&format!("a,y\n{numbers}1.2.3,1\n"));
    assert_eq!(typo, "t.csv, line 22, column \"a\": \"1.2.3\" is not a finite number");
    assert_eq!(message("a,y\n1,0\n2,\n"), "t.csv, line 3: the label \"y\" is missing");
    let (latin1, hint) = refused(b"a,y\n1,0\n\xE9,1\n", &CsvOptions::classes("y"));
    assert_eq!(latin1, "t.csv, line 3, column 1: not UTF-8 text");
    assert!(hint.contains("iconv"));
}

#[test]
fn infinity_and_numbers_beyond_f32_are_no_numbers() {
    for cell in ["inf", "-Infinity", "1e39"] {
        let mut options = CsvOptions::classes("y");
        options.kinds.insert("a".into(), Kind::Numeric);
        let (text, _) = refused(format!("a,y\n{cell},0\n").as_bytes(), &options);
        assert!(text.contains("not a finite number"), "{text}");
    }
}

#[test]
fn text_with_too_many_values() {
    let rows: String = (0..300).map(|i| format!("name {i},{}\n", i % 2)).collect();
    let (text, hint) = refused(format!("a,y\n{rows}").as_bytes(), &CsvOptions::classes("y"));
    assert_eq!(text, "t.csv, column \"a\": more than 256 distinct texts");
    assert!(hint.contains("drop it"), "{hint}");
    let rows: String = (0..300).map(|i| format!("1,{i}\n")).collect();
    assert_eq!(message(&format!("a,y\n{rows}")), "t.csv, label \"y\": more than 64 classes");
}

#[test]
fn columns_and_rows_that_do_not_exist() {
    let text = "a,y\n1,0\n2,1\n";
    let none = parse(text, &CsvOptions::classes("z")).expect_err("no z");
    assert_eq!(none.to_string(), "no column \"z\"; there are: a, y");
    for asked in [0..3, 2..3, 1..1] {
        let options = CsvOptions { rows: Some(asked), ..CsvOptions::classes("y") };
        let error = parse(text, &options).expect_err("out of range");
        assert!(error.to_string().ends_with("there are 2 rows"), "{error}");
    }
    let missing = read_csv(std::path::Path::new("no/such.csv"), &CsvOptions::default());
    assert!(matches!(missing, Err(DataError::Read { .. })));
}

#[test]
fn nulls_kinds_and_classes() {
    let text = "\u{FEFF}n,c,y\r\n1,red,10\r\nNA,blue,9\r\n,,10\r\nNaN,red,9\r\nnull,red,9\r\n";
    let data = parse(text, &CsvOptions::classes("y")).expect("valid");
    let [n, c] = data.features() else { panic!("two features") };
    assert_eq!((n.name.as_str(), n.nulls()), ("n", 4));
    let Values::Categorical { categories, codes } = &c.values else { panic!("c is text") };
    assert_eq!(categories, &["blue", "red"]);
    assert_eq!(codes, &[Some(1), Some(0), None, Some(1), Some(1)]);
    // Classes that are numbers are ordered as numbers.
    assert_eq!(data.target().classes(), ["9", "10"]);
}

#[test]
fn declared_kinds_win_and_a_quantity_can_be_the_label() {
    let mut options = CsvOptions::values("y");
    options.kinds.insert("a".into(), Kind::Categorical);
    let data = parse("a,y\n1,0.5\n2,7\n", &options).expect("valid");
    assert!(matches!(data.features()[0].values, Values::Categorical { .. }));
    assert!(matches!(data.target(), Target::Value { values, .. } if values == &[0.5, 7.0]));
}

#[test]
fn features_of_a_model_set_kinds_codes_and_order() {
    let first = parse("c,n,y\nb,1,0\na,2,1\n", &CsvOptions::classes("y")).expect("valid");
    let features: Vec<_> = first.features().iter().map(|c| c.feature()).collect();
    let options = CsvOptions { features, label: Label::None, ..CsvOptions::default() };
    let later = parse("n,extra,c\n3,x,b\n4,y,new\n", &options).expect("valid");
    assert_eq!(later.features()[0].name, "c");
    let Values::Categorical { codes, .. } = &later.features()[0].values else { panic!("text") };
    assert_eq!(codes, &[Some(1), None]);
    assert_eq!(later.features().len(), 2);
}

#[test]
fn tables_reshape() {
    let data = parse("a,b,y\n1,10,0\n2,20,1\n3,30,0\n4,40,1\n", &CsvOptions::classes("y")).expect("valid");
    let swapped = data.clone().swapped("a", "b").expect("both exist");
    assert_eq!(swapped.features()[0].name, "a");
    assert!(matches!(&swapped.features()[0].values, Values::Numeric(v) if v[0] == 10.0));
    let scaled = data.clone().mapped("a", |x| x * 2.0).expect("exists");
    assert!(matches!(&scaled.features()[0].values, Values::Numeric(v) if v[3] == 8.0));
    assert_eq!(data.clone().renamed("a", "z").expect("exists").features()[0].name, "z");
    assert_eq!(data.clone().without("a").expect("exists").features().len(), 1);
    assert_eq!(data.slice(1..3).expect("in range").rows(), 2);
    assert!(data.slice(1..5).is_err());
    assert!(data.clone().swapped("a", "none").is_err());
}

#[test]
fn splits_keep_every_row_once() {
    use pinnace_trainer::data::{split_by_hash, split_by_time};
    let rows: String = (0..1000).map(|i| format!("{i}.5,{}\n", i % 2)).collect();
    let data = parse(&format!("a,y\n{rows}"), &CsvOptions::classes("y")).expect("valid");
    let values = |d: &Dataset| match &d.features()[0].values {
        Values::Numeric(v) => v.clone(),
        Values::Categorical { .. } => panic!("numeric"),
    };
    let (train, held) = split_by_time(&data, 0.2).expect("valid");
    assert_eq!((train.rows(), held.rows()), (800, 200));
    assert!(values(&train).iter().all(|&v| v < 800.0));
    let (train, held) = split_by_hash(&data, 0.2, 7).expect("valid");
    assert_eq!(train.rows() + held.rows(), 1000);
    assert!((150..=250).contains(&held.rows()), "{}", held.rows());
    let mut all = [values(&train), values(&held)].concat();
    all.sort_by(f64::total_cmp);
    assert_eq!(all, values(&data));
    assert_eq!(values(&split_by_hash(&data, 0.2, 7).expect("valid").1), values(&held));
    assert_ne!(values(&split_by_hash(&data, 0.2, 8).expect("valid").1), values(&held));
    for share in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(split_by_hash(&data, share, 1).is_err());
    }
}
