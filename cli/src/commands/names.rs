//! Reads a list of device names: from a file or from the command line.
use std::collections::BTreeSet;
use std::path::Path;

use pinnace_controlplane::limits::{API_BODY_MAX_BYTES, TOKEN_NAMES_MAX};
use pinnace_protocol::ids::DeviceId;

use crate::output::Failure;

/// First cells that make the first line a heading.
const HEADINGS: [&str; 5] = ["device", "device_id", "name", "serial", "serial_number"];

/// Returns the names in the file `text`, when there is one of that name, or else those in `text` itself.
///
/// # Errors
/// [`Failure`] when a name is not one or comes twice, when there are none or too many, or the file cannot be read.
pub fn read(text: &str) -> Result<Vec<DeviceId>, Failure> {
    let path = Path::new(text);
    if !path.is_file() {
        return list(text.split(',').enumerate().map(|(n, name)| (format!("name {}", n + 1), name)));
    }
    let what = |e: std::io::Error| {
        Failure::error(format!("{}: {e}\n  hint: a text file with one name in each line is meant", path.display()))
    };
    if path.metadata().map_err(what)?.len() > API_BODY_MAX_BYTES as u64 {
        return Err(Failure::error(format!(
            "{} has more than {API_BODY_MAX_BYTES} bytes\n  hint: make several invitations",
            path.display()
        )));
    }
    lines(&std::fs::read_to_string(path).map_err(what)?)
}

/// Returns the names of a file's text: of each line the first cell; empty lines, `#` and a heading are left out.
fn lines(text: &str) -> Result<Vec<DeviceId>, Failure> {
    let cell = |line: &str| -> String {
        let first = line.split([',', ';', '\t']).next().unwrap_or_default().trim();
        first.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(first).trim().to_owned()
    };
    // Some programs begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let cells: Vec<(String, String)> = text
        .lines()
        .enumerate()
        .map(|(n, line)| (format!("line {}", n + 1), cell(line)))
        .filter(|(_, cell)| !cell.is_empty() && !cell.starts_with('#'))
        .collect();
    let heading = cells.first().is_some_and(|(_, c)| HEADINGS.contains(&c.to_lowercase().as_str()));
    list(cells.iter().skip(usize::from(heading)).map(|(at, cell)| (at.clone(), cell.as_str())))
}

fn list<'a>(names: impl Iterator<Item = (String, &'a str)>) -> Result<Vec<DeviceId>, Failure> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for (at, name) in names {
        let device = DeviceId::parse(name.trim()).map_err(|e| Failure::error(format!("{at}: {e}")))?;
        if !seen.insert(device.clone()) {
            return Err(Failure::error(format!("{at}: `{device}` comes twice\n  hint: each name is let in once")));
        }
        if all.len() == TOKEN_NAMES_MAX {
            return Err(Failure::error(format!(
                "there are more than {TOKEN_NAMES_MAX} names\n  hint: make several invitations"
            )));
        }
        all.push(device);
    }
    if all.is_empty() {
        return Err(Failure::error("the list holds no name\n  hint: one name in each line, or `a,b,c`"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: Result<Vec<DeviceId>, Failure>) -> Vec<String> {
        list.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_and_lists_read_as_people_write_them() {
        assert_eq!(names(read("a, b,c")), ["a", "b", "c"]);
        assert_eq!(
            names(lines("\u{feff}Serial;site\r\n\"sn-1\";north\r\n\r\n# spare\r\nsn-2;south\r\n")),
            ["sn-1", "sn-2"]
        );
        assert_eq!(names(lines("a\nb")), ["a", "b"]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("names.csv");
        std::fs::write(&file, "device,room\nx,1\n").unwrap();
        assert_eq!(names(read(file.to_str().unwrap())), ["x"]);
    }

    #[test]
    fn mistakes_are_named_by_line() {
        let text = |list: Result<Vec<DeviceId>, Failure>| format!("{:?}", list.unwrap_err());
        assert!(text(lines("a\nB/c\n")).contains("line 2"));
        assert!(text(lines("a\n\na\n")).contains("line 3"));
        assert!(text(read("a,,b")).contains("name 2"));
        assert!(text(lines("# nothing\n")).contains("holds no name"));
        let many: String = (0..=TOKEN_NAMES_MAX).map(|n| format!("{n}\n")).collect();
        assert!(text(lines(&many)).contains("more than"));
    }
}
