// What vedette_decode.txt says: how the outputs of a network become boxes. Read once, before the first frame.
//
// One word and its values a line, in the form that `vedette deepstream render` writes:
//   vedette-decode 1 / kind K / classes N / input W H
//   output NAME GRID_W GRID_H SCALE_X_Y NEW_COORDS ANCHOR_W ANCHOR_H ...   (raw Darknet heads)
//   layout rows|columns, box cxcywh|xyxy pixels|normalised, scores probabilities|logits, output NAME   (decoded boxes)
#pragma once

#include <istream>
#include <string>
#include <vector>

namespace vedette {

enum class Kind { yolo_heads, region_head, boxes_scores, boxes_objectness_scores, boxes_score_class };

struct Anchor {
  float width_px;
  float height_px;
};

struct Output {
  std::string name;
  int grid_width = 0;
  int grid_height = 0;
  float scale_x_y = 1.0f;
  bool activated = false;  // new_coords: the values have been through a sigmoid
  std::vector<Anchor> anchors;
};

struct DecodeSpec {
  Kind kind = Kind::yolo_heads;
  int classes = 0;
  int input_width_px = 0;
  int input_height_px = 0;
  bool by_rows = true;        // decoded boxes: (boxes, values), else (values, boxes)
  bool corners = false;       // two corners, else centre and size
  bool normalised = false;    // fractions of the input's sides, else pixels
  bool logits = false;
  std::vector<Output> outputs;

  bool is_heads() const { return kind == Kind::yolo_heads || kind == Kind::region_head; }
  // How many numbers one box of decoded outputs has, its own four included.
  int values() const {
    return kind == Kind::boxes_scores ? 4 + classes : kind == Kind::boxes_objectness_scores ? 5 + classes : 6;
  }
};

// False, with what is wrong and where in `error`, for anything that is not exactly of the form above.
bool read_decode_spec(std::istream& text, DecodeSpec& spec, std::string& error);

}  // namespace vedette
