//! `make screenshots`: the standard messages as Chromium shows them, in `target/screenshots`, for people to look at. Each
//! picture has a message as it is on a desk and in four languages on a phone, in light, in dark and without images.
//!
//! The messages are those that were saved in `tests/golden`, so what is looked at is what is sent. Nothing is judged here.

use std::{
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const LOCALES: [&str; 4] = ["en", "de", "fr", "es"];
/// Widths of a usual window and of the narrowest phones that are sold, in CSS pixels.
const DESK: u32 = 720;
const PHONE: u32 = 375;
/// Enough for the longest message on a phone.
const HEIGHT: u32 = 1800;

/// How a mail program shows the message: a word for the file's name, and Chromium's switch for it.
const VIEWS: [(&str, Option<&str>); 3] = [
    ("light", None),
    ("dark", Some("--blink-settings=preferredColorScheme=0")),
    ("no-images", Some("--blink-settings=imagesEnabled=false")),
];

/// The address of the logo in the examples, and what is shown in its place, since nothing is fetched.
const LOGO: &str = "https://www.corp.example/logo.png";
const DRAWN: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='400' height='80'%3E\
    %3Crect width='80' height='80' rx='16' fill='%231d4f91'/%3E%3Ctext x='100' y='54' font-family='sans-serif' \
    font-size='36' fill='%231f2933'%3EExample Corp%3C/text%3E%3C/svg%3E";

fn main() -> ExitCode {
    match take_all() {
        Ok(folder) => {
            println!("The pictures are in {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn take_all() -> Result<PathBuf> {
    let golden = Path::new(REPOSITORY).join("tests/golden");
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&golden)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".en.html").map(String::from));
    }
    names.sort();
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(REPOSITORY).join("target"), PathBuf::from);
    let folder = target.join("screenshots");
    fs::create_dir_all(&folder)?;
    for name in names {
        let sheet = folder.join(format!("{name}.html"));
        fs::write(&sheet, contact_sheet(&golden, &name)?)?;
        for (view, switch) in VIEWS {
            take(&sheet, &folder.join(format!("{name}-{view}.png")), switch)?;
        }
        fs::remove_file(sheet)?;
    }
    Ok(folder.canonicalize()?)
}

/// A page with the message at each width, as it is in a frame of that width.
fn contact_sheet(golden: &Path, name: &str) -> Result<String> {
    let mut page = "<!doctype html><title>x</title><style>body { margin: 0; display: flex; gap: 8px; background: #888 } \
        iframe { border: 0; flex: none }</style>"
        .to_owned();
    for (number, (locale, width)) in
        std::iter::once(("en", DESK)).chain(LOCALES.map(|locale| (locale, PHONE))).enumerate()
    {
        let message = fs::read_to_string(golden.join(format!("{name}.{locale}.html")))?.replace(LOGO, DRAWN);
        let message = message.replace('&', "&amp;").replace('"', "&quot;");
        write!(
            page,
            "<iframe name=\"{number}\" width=\"{width}\" height=\"{HEIGHT}\" srcdoc=\"{message}\"></iframe>"
        )?;
    }
    Ok(page)
}

fn take(sheet: &Path, picture: &Path, switch: Option<&str>) -> Result<()> {
    let profile = sheet.with_extension("profile");
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]);
    // It runs as root in containers, shows only our own page, and has nobody to call.
    chromium.args([
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    chromium.arg(format!("--window-size={},{HEIGHT}", DESK + 4 * (PHONE + 8)));
    chromium.arg(format!("--screenshot={}", picture.display())).args(switch);
    chromium.arg(format!("file://{}", sheet.canonicalize()?.display()));
    let output = chromium
        .output()
        .map_err(|problem| format!("starting chromium: {problem}; on Debian: apt-get install chromium"))?;
    let _ = fs::remove_dir_all(profile);
    if picture.exists() && output.status.success() {
        return Ok(());
    }
    Err(format!("chromium took no picture: {}", String::from_utf8_lossy(&output.stderr)).into())
}
