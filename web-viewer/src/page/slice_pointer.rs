//! What the mouse and the fingers do on a slice.

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::{HtmlCanvasElement, MouseEvent, PointerEvent, WheelEvent};

use super::marks::Placed;
use super::measuring::{Handle, Point};
use super::pointers::Pointers;
use super::state::Page;
use super::tools::{Pointed, Tool};
use crate::slice::{FittedSlice, Plane, RasFrame, SliceView, Window, Zoom};

/// The wheel's pixels that move by one slice, so that one notch does, as in radiological viewers.
const PIXELS_PER_SLICE: f64 = 40.0;
/// The wheel's pixels that magnify by e.
const PIXELS_PER_E: f64 = 300.0;
/// Dragging across the whole canvas multiplies the window's width by e to this power. Dragging down it
/// lowers the level by half this number of default widths.
const DRAG_STRENGTH: f64 = 4.0;
/// A movement of fewer CSS pixels is a click.
const CLICK_DISTANCE: f64 = 4.0;

/// What the main button does while it is down.
#[derive(Debug, Clone, PartialEq)]
enum Drag {
    None,
    Crosshair,
    /// The brush on the result, with the last voxel.
    Correct([usize; 3]),
    /// The brush on the brain's mask.
    Brain,
    /// The ruler, with the canvas point where it was set.
    Ruler([f64; 2]),
    /// A point of a measurement.
    Handle(Handle),
}

/// The pointers on a slice.
#[derive(Clone, Copy)]
pub struct SlicePointer {
    page: Page,
    plane: Plane,
    frame: Memo<Option<RasFrame>>,
    canvas_ref: NodeRef<Canvas>,
    last_pointer: StoredValue<[f64; 2]>,
    pointers: StoredValue<Pointers>,
    drag: StoredValue<Drag>,
    fractional_slices: StoredValue<f64>,
}

impl SlicePointer {
    /// Makes the pointers of a slice.
    pub fn new(
        page: Page,
        plane: Plane,
        frame: Memo<Option<RasFrame>>,
        canvas_ref: NodeRef<Canvas>,
    ) -> SlicePointer {
        SlicePointer {
            page,
            plane,
            frame,
            canvas_ref,
            last_pointer: StoredValue::new([0.0; 2]),
            pointers: StoredValue::new(Pointers::default()),
            drag: StoredValue::new(Drag::None),
            fractional_slices: StoredValue::new(0.0),
        }
    }

    /// Calls `act` with the slice on the canvas, in CSS pixels.
    fn with_placed<T>(self, act: impl FnOnce(&Placed<'_>) -> Option<T>) -> Option<T> {
        let canvas = self.canvas_ref.get_untracked()?;
        let size = [canvas.client_width(), canvas.client_height()].map(f64::from);
        let zoom = self.page.zooms.get_untracked()[self.plane as usize];
        self.frame.with_untracked(|frame| {
            let frame = frame.as_ref()?;
            let view = self.view(frame);
            act(&Placed { frame, view: &view, fitted: zoom.apply(view.fit(size)) })
        })
    }

    fn view(self, frame: &RasFrame) -> SliceView<'_> {
        let (convention, crosshair) =
            (self.page.convention.get_untracked(), self.page.crosshair.get_untracked());
        frame.view(self.plane, convention, crosshair)
    }

    /// Changes the magnification; `change` gets the unmagnified slice.
    fn zoom(self, change: impl FnOnce(Zoom, FittedSlice) -> Zoom) {
        let Some(canvas) = self.canvas_ref.get_untracked() else { return };
        let size = [canvas.client_width(), canvas.client_height()].map(f64::from);
        let fitted = self
            .frame
            .with_untracked(|frame| frame.as_ref().map(|frame| self.view(frame).fit(size)));
        if let Some(fitted) = fitted {
            self.page.zooms.update(|zooms| {
                let zoom = &mut zooms[self.plane as usize];
                *zoom = change(*zoom, fitted);
            });
        }
    }

    /// Magnifies around the crosshair.
    pub fn zoom_at_crosshair(self, times: f64) {
        let point = self
            .with_placed(|placed| Some(placed.fitted.pixel_center(placed.view.crosshair_pixel())));
        if let Some(point) = point {
            self.zoom(|zoom, fitted| zoom.about(fitted, point, times));
        }
    }

    /// Shows this slice alone, or all three again.
    pub fn enlarge(self) {
        self.page.enlarged.update(|enlarged| {
            *enlarged = if enlarged.is_some() { None } else { Some(self.plane) };
        });
    }

    /// Moves by slices.
    pub fn scroll(self, num_slices: i64) {
        let axis = self.plane.normal();
        self.frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            self.page.crosshair.update(|voxel| {
                let slice = voxel[axis] as i64 + num_slices;
                voxel[axis] = slice.clamp(0, frame.dims[axis] as i64 - 1) as usize;
            });
        });
    }

    /// Moves the crosshair by pixels across and down.
    pub fn move_crosshair(self, pixels: [isize; 2]) {
        self.frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            let view = self.view(frame);
            let pixel = view.crosshair_pixel();
            let moved = [0, 1].map(|n| pixel[n].saturating_add_signed(pixels[n]));
            self.page.crosshair.set(view.voxel_at(moved));
        });
    }

    fn voxel_at(self, event: &MouseEvent) -> Option<[usize; 3]> {
        let at = canvas_point(event);
        self.with_placed(|placed| Some(placed.view.voxel_at(placed.fitted.pixel_at(at))))
    }

    fn world_at(self, event: &MouseEvent) -> Option<Point> {
        let at = canvas_point(event);
        self.with_placed(|placed| {
            let ras_point = placed.view.ras_point_at(placed.fitted.position_at(at));
            self.page.world_from_ras(placed.frame, ras_point)
        })
    }

    /// Begins what the main button does with the chosen tool.
    fn begin_drag(self, event: &MouseEvent) -> Drag {
        let page = self.page;
        let at = canvas_point(event);
        let tool = page.tool.get_untracked();
        if !tool.paints()
            && page.sketch.with_untracked(Vec::is_empty)
            && let Some((measurement, point)) =
                self.with_placed(|placed| placed.handle_at(page, at))
        {
            let before = page.measurements.get_untracked();
            return Drag::Handle(Handle { measurement, point, before });
        }
        match tool {
            Tool::Correct { .. } => match self.voxel_at(event) {
                Some(voxel) if page.begin_correction() => Drag::Correct(voxel),
                _ => Drag::None,
            },
            Tool::Brain { .. } if page.begin_stroke() => Drag::Brain,
            Tool::Brain { .. } => Drag::None,
            Tool::Ruler | Tool::Angle => {
                if let Some(point) = self.world_at(event) {
                    page.add_point(point);
                }
                if tool == Tool::Ruler { Drag::Ruler(at) } else { Drag::None }
            }
            Tool::Crosshair => Drag::Crosshair,
        }
    }

    fn continue_drag(self, event: &MouseEvent) {
        let page = self.page;
        let Some(voxel) = self.voxel_at(event) else { return };
        match self.drag.get_value() {
            Drag::None | Drag::Ruler(_) => {}
            Drag::Crosshair => page.crosshair.set(voxel),
            Drag::Correct(last) => {
                self.frame.with_untracked(|frame| {
                    frame.iter().for_each(|f| page.correct_along(f, self.plane, last, voxel));
                });
                self.drag.set_value(Drag::Correct(voxel));
            }
            Drag::Brain => self.frame.with_untracked(|frame| {
                frame.iter().for_each(|frame| page.paint_at(frame, voxel));
            }),
            Drag::Handle(Handle { measurement, point, .. }) => {
                let Some(to) = self.world_at(event) else { return };
                page.measurements.update(|all| {
                    if let Some(measurement) = all.get_mut(measurement) {
                        measurement.shape.move_point(point, to);
                    }
                });
            }
        }
    }

    fn end_drag(self, event: &MouseEvent) {
        let page = self.page;
        match self.drag.get_value() {
            Drag::None | Drag::Crosshair => {}
            Drag::Correct(_) => page.end_correction(),
            Drag::Brain => page.end_stroke(),
            Drag::Ruler(from) => {
                // Dragged to its end; after a click, another click sets the end.
                let at = canvas_point(event);
                let is_begun = page.sketch.with_untracked(|points| points.len() == 1);
                if is_begun
                    && (at[0] - from[0]).hypot(at[1] - from[1]) > CLICK_DISTANCE
                    && let Some(point) = self.world_at(event)
                {
                    page.add_point(point);
                }
            }
            Drag::Handle(Handle { before, .. }) => {
                let after = page.measurements.get_untracked();
                page.measurements.set(before);
                page.set_measurements(after);
            }
        }
        self.drag.set_value(Drag::None);
    }

    fn change_window(self, event: &MouseEvent) {
        let page = self.page;
        let Some(canvas) = self.canvas_ref.get_untracked() else { return };
        let windows = || Some((page.shown_window()?, page.shown_channel()?.default_window));
        let Some((window, default)) = untrack(windows) else { return };
        let [across, down] = self.drag_distance(event, &canvas).map(|d| (d * DRAG_STRENGTH) as f32);
        let width = (window.width * across.exp()).max(default.width * 1e-3);
        let level = window.level - down * default.width / 2.0;
        page.set_shown_window(Window { level, width });
    }

    /// Returns the pointer's movement since the last time as a fraction of the canvas.
    fn drag_distance(self, event: &MouseEvent, canvas: &HtmlCanvasElement) -> [f64; 2] {
        let by = self.moved(event);
        let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x.max(1)));
        [0, 1].map(|n| by[n] / size[n])
    }

    /// Returns the pointer's movement since the last time in CSS pixels.
    fn moved(self, event: &MouseEvent) -> [f64; 2] {
        let pointer = [event.client_x(), event.client_y()].map(f64::from);
        let last = self.last_pointer.get_value();
        self.last_pointer.set_value(pointer);
        [0, 1].map(|n| pointer[n] - last[n])
    }

    /// A button went down, or a finger.
    pub fn on_down(self, event: &PointerEvent) {
        self.pointers.update_value(|pointers| pointers.set(event));
        self.moved(event);
        if let Some(canvas) = self.canvas_ref.get_untracked() {
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
        if self.pointers.with_value(Pointers::are_two) || event.shift_key() {
            return;
        }
        if event.button() == 0 {
            self.drag.set_value(self.begin_drag(event));
            self.continue_drag(event);
        }
    }

    /// A pointer moved.
    pub fn on_move(self, event: &PointerEvent) {
        let before = self.pointers.with_value(Pointers::spread);
        self.pointers.update_value(|pointers| pointers.set(event));
        let after = self.pointers.with_value(Pointers::spread);
        if let (Some(before), Some(after)) = (before, after) {
            let times = after.distance / before.distance.max(1.0);
            let by = [0, 1].map(|n| after.middle[n] - before.middle[n]);
            self.zoom(|zoom, fitted| zoom.about(fitted, after.middle, times).shifted(fitted, by));
            return;
        }
        let pointed = |voxel| Pointed { plane: self.plane, voxel };
        self.page.pointed.set(self.voxel_at(event).map(pointed));
        match event.buttons() {
            1 if !event.shift_key() || self.drag.get_value() != Drag::None => {
                self.continue_drag(event);
            }
            1 | 4 => {
                let by = self.moved(event);
                self.zoom(|zoom, fitted| zoom.shifted(fitted, by));
            }
            2 => self.change_window(event),
            _ => {}
        }
    }

    /// A button or a finger was lifted.
    pub fn on_up(self, event: &PointerEvent) {
        self.pointers.update_value(|pointers| pointers.remove(event));
        self.end_drag(event);
    }

    /// A double click enlarges, except while a tool is used.
    pub fn on_double_click(self) {
        if self.page.tool.get_untracked() == Tool::Crosshair {
            self.enlarge();
        }
    }

    /// The wheel turned.
    pub fn on_wheel(self, event: &WheelEvent) {
        event.prevent_default();
        // Browsers report a touch pad's pinch as a wheel with Ctrl.
        if event.ctrl_key() {
            let times = (-event.delta_y().clamp(-200.0, 200.0) / PIXELS_PER_E).exp();
            let point = canvas_point(event);
            return self.zoom(|zoom, fitted| zoom.about(fitted, point, times));
        }
        // In the modes "line" and "page" a unit is a slice; touch pads send many small pixel deltas.
        let delta = match event.delta_mode() {
            0 => event.delta_y() / PIXELS_PER_SLICE,
            _ => event.delta_y(),
        };
        let slices = self.fractional_slices.get_value() + delta.clamp(-3.0, 3.0);
        self.fractional_slices.set_value(slices.fract());
        self.scroll(-slices.trunc() as i64);
    }
}

fn canvas_point(event: &MouseEvent) -> [f64; 2] {
    [event.offset_x(), event.offset_y()].map(f64::from)
}
