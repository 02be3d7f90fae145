//! How experiments are chosen on the command line, and the tables and plots that they make.

use std::env;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plotters::prelude::*;

use crate::lab::{AnyResult, THREADS};

/// Why an experiment may be missing.
const NEEDS_CFG: &str = if cfg!(headcount_bench) {
    ""
} else {
    "; those that leave out rules need RUSTFLAGS=\"--cfg headcount_bench\""
};

/// What the command line asks for.
pub(crate) struct Arguments {
    /// The experiments; none: all of them.
    pub(crate) names: Vec<String>,
    pub(crate) numbers: Vec<usize>,
    /// Where the plots go: anything with a slash.
    charts: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        let mut arguments = Self { names: Vec::new(), numbers: Vec::new(), charts: None };
        // `cargo bench` passes "--bench".
        for argument in env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
            match argument.parse() {
                Ok(number) => arguments.numbers.push(number),
                Err(_) if argument.contains('/') => arguments.charts = Some(argument.into()),
                Err(_) => arguments.names.push(argument),
            }
        }
        arguments
    }
}

/// A part of a benchmark that can be run by itself.
pub(crate) struct Experiment {
    pub(crate) name: &'static str,
    /// Unless told otherwise; where a table has several cases, of each.
    pub(crate) runs: u64,
    pub(crate) measure: fn(&mut Report, u64) -> AnyResult<()>,
}

/// Makes the experiments that the command line names, or all; with a number, so many runs of each.
pub(crate) fn run(experiments: &[Experiment]) -> ExitCode {
    let arguments = Arguments::parse();
    let (names, numbers) = (&arguments.names, &arguments.numbers);
    let runs = numbers.first().map(|runs| *runs as u64);
    if !names.iter().all(|name| experiments.iter().any(|experiment| experiment.name == *name)) {
        let known: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
        eprintln!("error: the experiments are {}{NEEDS_CFG}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let mut report = Report::new(&arguments);
    for experiment in experiments {
        if !names.is_empty() && !names.iter().any(|name| name == experiment.name) {
            continue;
        }
        let began = Instant::now();
        if let Err(error) = (experiment.measure)(&mut report, runs.unwrap_or(experiment.runs).max(1)) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        let took = format!("{:.0} s", began.elapsed().as_secs_f64());
        report.note(&format!("wall time, on {THREADS} threads at most"), took);
        println!();
    }
    report.end()
}

/// What is printed and drawn.
pub(crate) struct Report {
    missed: usize,
    charts: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self { missed: 0, charts: arguments.charts.clone() }
    }

    /// Whether all bars were met, for the exit code.
    pub(crate) fn end(&self) -> ExitCode {
        if self.missed == 0 {
            return ExitCode::SUCCESS;
        }
        println!("{} missed.", self.missed);
        ExitCode::FAILURE
    }

    pub(crate) fn title(&self, title: &str) {
        println!("{title}\n");
    }

    /// A figure without a bar.
    pub(crate) fn note(&self, what: &str, figure: impl Display) {
        println!("{what:<72} {:>14}", figure.to_string());
    }

    /// A figure that must meet a bar.
    pub(crate) fn row(&mut self, what: &str, figure: impl Display, bar: &str, met: bool) {
        let mark = if met { "" } else { "   MISSED" };
        println!("{what:<72} {:>14}   {bar}{mark}", figure.to_string());
        self.missed += usize::from(!met);
    }

    /// A figure that must not be above a bar.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, most: f64) {
        let bar = if most == 0.0 { "0".to_owned() } else { format!("<= {most}") };
        self.row(what, number(figure), &bar, figure <= most);
    }

    /// A time that must not be above a bar.
    pub(crate) fn within(&mut self, what: &str, time: Duration, limit: Duration) {
        self.row(what, seconds(time), &format!("<= {}", seconds(limit)), time <= limit);
    }

    /// One line of a table with many columns.
    pub(crate) fn line(&self, what: &str, cells: impl IntoIterator<Item = String>) {
        let cells: String = cells.into_iter().map(|cell| format!("{cell:>13}")).collect();
        println!("{what:<42}{cells}");
    }

    /// Draws lines through points into an SVG file, below `target/tmp` unless the command line names a directory.
    /// Where an axis is logarithmic, points at zero or below are left out.
    pub(crate) fn draw(&self, file: &str, chart: &Chart<'_>) -> AnyResult<()> {
        let directory = self.charts.clone().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        fs::create_dir_all(&directory)?;
        let path = directory.join(file).with_extension("svg");
        chart.draw(&SVGBackend::new(&path, (720, 420)).into_drawing_area())?;
        self.note("plot", path.display());
        Ok(())
    }
}

/// A line of a chart: what it shows, and its points.
pub(crate) type Line = (String, Vec<(f64, f64)>);

/// Lines over two logarithmic axes.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line>,
}

impl Chart<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> AnyResult<()> {
        let shown = |line: &Line| -> Vec<(f64, f64)> {
            line.1.iter().copied().filter(|(x, y)| *x > 0.0 && *y > 0.0).collect()
        };
        let points: Vec<(f64, f64)> = self.lines.iter().flat_map(shown).collect();
        let extent = |of: fn(&(f64, f64)) -> f64| {
            let least = points.iter().map(of).fold(f64::INFINITY, f64::min);
            let most = points.iter().map(of).fold(0.0, f64::max);
            if least < most { least / 1.3..most * 1.3 } else { most / 2.0 + 0.5..most * 2.0 + 1.0 }
        };
        area.fill(&WHITE)?;
        let mut plot = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(extent(|point| point.0).log_scale(), extent(|point| point.1).log_scale())?;
        plot.configure_mesh()
            .light_line_style(BLACK.mix(0.05))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 15))
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        for (index, line) in self.lines.iter().enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            let marks = shown(line).into_iter().map(move |point| Circle::new(point, 3, style.filled()));
            plot.draw_series(LineSeries::new(shown(line), style))?
                .label(&line.0)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            plot.draw_series(marks)?;
        }
        plot.configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 13))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// With no more digits than tell something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        magnitude if magnitude >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
