// Outputs of a network to candidate boxes, in one pass and without allocating anything.
//
// Exactly `vedette.vision.yolo.decode_heads` and `vedette.vision.decoded_boxes.decode_boxes`: a candidate is one cell (or
// box) and one class with a score strictly above its class's threshold. Nothing is suppressed or clipped here.
// Source: Darknet's get_yolo_box, get_yolo_detections and get_region_box (AlexeyAB).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "decode_spec.hpp"

namespace vedette {

const float kLargestLogSize = 20.0f;  // exp(20) anchors: wider than any picture
const float kLargestPx = 1e7f;        // beyond it, and for NaN, no box can be meant
const float kGateSlack = 1e-3f;       // logits near the gate may round either way; the exact test follows

struct Box {
  float left, top, width, height;  // pixels of the network's input
  float score;
  int class_id;
};

inline float sigmoid(float value) { return 1.0f / (1.0f + std::exp(-value)); }

// IEEE 754 half precision, as an engine with FP16 outputs hands it over.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  std::uint32_t exponent = (half >> 10) & 0x1fu, fraction = half & 0x3ffu, bits;
  if (exponent == 0x1fu) {
    bits = sign | 0x7f800000u | (fraction << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (fraction << 13);
  } else if (fraction == 0) {
    bits = sign;
  } else {  // subnormal
    exponent = 113;
    while ((fraction & 0x400u) == 0) fraction <<= 1, --exponent;
    bits = sign | (exponent << 23) | ((fraction & 0x3ffu) << 13);
  }
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct FloatValues {
  const float* data;
  float operator[](std::size_t at) const { return data[at]; }
};

struct HalfValues {
  const std::uint16_t* data;
  float operator[](std::size_t at) const { return half_to_float(data[at]); }
};

// Thresholds by class; a class beyond them can never be given out.
struct Thresholds {
  const float* by_class;
  int classes;

  float least() const {
    float found = std::numeric_limits<float>::infinity();
    for (int id = 0; id < classes; ++id) found = std::min(found, by_class[id]);
    return found;
  }
};

// The value (a logit unless `activated`) below which a probability cannot exceed `score`.
inline float probability_gate(float score, bool activated) {
  if (score <= 0) return -std::numeric_limits<float>::infinity();
  if (activated) return score - kGateSlack;
  if (score >= 1) return std::numeric_limits<float>::infinity();
  return static_cast<float>(std::log(static_cast<double>(score)) - std::log1p(-static_cast<double>(score))) - kGateSlack;
}

// One raw head (anchors * (5 + classes), grid height, grid width); `emit(Box)` for each candidate, in the order of anchor,
// row, column, class.
template <typename Values, typename Emit>
void decode_head(const DecodeSpec& spec, const Output& head, Values values, const Thresholds& thresholds, Emit emit) {
  const std::size_t columns = static_cast<std::size_t>(head.grid_width), places = columns * head.grid_height;
  const bool softmax = spec.kind == Kind::region_head;
  const int classes = std::min(spec.classes, thresholds.classes);
  const float least = thresholds.least();
  const float gate = probability_gate(least, head.activated);
  const float softmax_gate = least > 0 ? std::log(least) - kGateSlack : -std::numeric_limits<float>::infinity();
  const float cell_width_px = static_cast<float>(spec.input_width_px) / static_cast<float>(head.grid_width);
  const float cell_height_px = static_cast<float>(spec.input_height_px) / static_cast<float>(head.grid_height);
  const float off = 0.5f * (head.scale_x_y - 1.0f);
  for (std::size_t anchor = 0; anchor < head.anchors.size(); ++anchor) {
    const std::size_t first = anchor * (5 + spec.classes) * places;
    for (std::size_t place = 0; place < places; ++place) {
      const float raw = values[first + 4 * places + place];
      if (!(raw > gate)) continue;
      const auto value = [&](int number) { return values[first + number * places + place]; };
      const float objectness = head.activated ? raw : sigmoid(raw);
      float largest = -std::numeric_limits<float>::infinity(), sum = 0;
      if (softmax) {
        for (int id = 0; id < spec.classes; ++id) largest = std::max(largest, value(5 + id));
        for (int id = 0; id < spec.classes; ++id) sum += std::exp(value(5 + id) - largest);
      }
      Box box;
      bool has_box = false;
      for (int id = 0; id < classes; ++id) {
        const float given = value(5 + id);
        if (softmax ? given - largest < softmax_gate : given < gate) continue;  // no objectness lifts it
        const float probability =
            softmax ? std::exp(given - largest) / sum : head.activated ? given : sigmoid(given);
        const float score = objectness * probability;
        if (!(score > thresholds.by_class[id])) continue;
        if (!has_box) {
          has_box = true;
          const float x = head.activated ? value(0) : sigmoid(value(0));
          const float y = head.activated ? value(1) : sigmoid(value(1));
          const float w = value(2), h = value(3);
          const Anchor& size = head.anchors[anchor];
          box.width = size.width_px * (head.activated ? 4 * w * w : std::exp(std::min(w, kLargestLogSize)));
          box.height = size.height_px * (head.activated ? 4 * h * h : std::exp(std::min(h, kLargestLogSize)));
          const float column = static_cast<float>(place % columns), row = static_cast<float>(place / columns);
          box.left = (column + (x * head.scale_x_y - off)) * cell_width_px - box.width / 2;
          box.top = (row + (y * head.scale_x_y - off)) * cell_height_px - box.height / 2;
        }
        box.score = score;
        box.class_id = id;
        emit(box);
      }
    }
  }
}

// Where the values of decoded boxes stand: in one output, or the box in one and the rest in another.
template <typename Values>
struct BoxValues {
  Values data;
  bool by_rows;
  std::size_t boxes;
  std::size_t width;  // values of one box in this output

  float at(std::size_t box, std::size_t value) const { return data[by_rows ? box * width + value : value * boxes + box]; }
};

const std::size_t kBlock = 64, kLanes = 8;  // what is compared at once; the order of comparing changes nothing

// The largest of `count` values side by side, NaN left out.
template <typename Values>
float largest_value(Values data, std::size_t first, std::size_t count) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
  std::size_t at = 0;
  for (; at + kLanes <= count; at += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = data[first + at + lane];
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  for (; at < count; ++at) lanes[0] = std::max(lanes[0], data[first + at]);
  return *std::max_element(lanes, lanes + kLanes);
}

// The largest score of each of `count` boxes from `first` on: most boxes are none, and need no look at each class.
template <typename Values>
void largest_scores(
    const BoxValues<Values>& table, std::size_t scores_at, std::size_t classes, std::size_t first, std::size_t count,
    float* largest
) {
  if (table.by_rows) {
    for (std::size_t at = 0; at < count; ++at) {
      largest[at] = largest_value(table.data, (first + at) * table.width + scores_at, classes);
    }
    return;
  }
  std::fill(largest, largest + count, -std::numeric_limits<float>::infinity());
  for (std::size_t id = 0; id < classes; ++id) {
    const std::size_t column = (scores_at + id) * table.boxes + first;
    for (std::size_t at = 0; at < count; ++at) {
      const float value = table.data[column + at];
      largest[at] = value > largest[at] ? value : largest[at];
    }
  }
}

// Boxes that the network has decoded itself; `emit(Box)` for each candidate, in the order of box, class.
template <typename Values, typename Emit>
void decode_boxes(
    const DecodeSpec& spec, BoxValues<Values> corners, BoxValues<Values> rest, std::size_t rest_at,
    const Thresholds& thresholds, Emit emit
) {
  const bool has_objectness = spec.kind == Kind::boxes_objectness_scores;
  const bool chosen = spec.kind == Kind::boxes_score_class;
  const std::size_t scores_at = rest_at + (has_objectness ? 1 : 0);
  const int classes = chosen ? 1 : std::min(spec.classes, thresholds.classes);
  const float gate = probability_gate(thresholds.least(), !spec.logits);
  const float across = spec.normalised ? static_cast<float>(spec.input_width_px) : 1.0f;
  const float down = spec.normalised ? static_cast<float>(spec.input_height_px) : 1.0f;
  const auto probability = [&](float value) { return spec.logits ? sigmoid(value) : value; };
  float largest[kBlock];
  for (std::size_t number = 0; number < corners.boxes; ++number) {
    float objectness = 1.0f;
    if (!has_objectness && !chosen) {
      const std::size_t at = number % kBlock, left_over = corners.boxes - number;
      if (at == 0) largest_scores(rest, scores_at, classes, number, std::min(kBlock, left_over), largest);
      if (largest[at] < gate) continue;
    }
    if (has_objectness) {
      const float raw = rest.at(number, rest_at);
      if (!(raw > gate)) continue;
      objectness = probability(raw);
    }
    for (int id = 0; id < classes; ++id) {
      const float raw = rest.at(number, scores_at + id);
      if (!has_objectness && !(raw > gate)) continue;
      int class_id = id;
      if (chosen) {
        const float told = rest.at(number, scores_at + 1);
        if (!(std::fabs(told) <= static_cast<float>(spec.classes))) continue;
        class_id = static_cast<int>(std::rint(told));
        if (class_id < 0 || class_id >= std::min(spec.classes, thresholds.classes)) continue;
      }
      const float score = probability(raw) * objectness;
      if (!(score > thresholds.by_class[class_id])) continue;
      const float a = corners.at(number, 0), b = corners.at(number, 1);
      const float c = corners.at(number, 2), d = corners.at(number, 3);
      const float left = (spec.corners ? a : a - c * 0.5f) * across, top = (spec.corners ? b : b - d * 0.5f) * down;
      const float right = (spec.corners ? c : a + c * 0.5f) * across, bottom = (spec.corners ? d : b + d * 0.5f) * down;
      const float furthest =
          std::max(std::max(std::fabs(left), std::fabs(top)), std::max(std::fabs(right), std::fabs(bottom)));
      if (!(furthest < kLargestPx) || std::isnan(left + top + right + bottom)) continue;
      emit(Box{left, top, right - left, bottom - top, score, class_id});
    }
  }
}

}  // namespace vedette
