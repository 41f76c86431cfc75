#include "decode_spec.hpp"

#include <cmath>
#include <sstream>

namespace vedette {
namespace {

const int kMostClasses = 100000;
const int kMostPixels = 65536;
const int kMostCells = 4096;  // of a grid's side

struct Reader {
  DecodeSpec& spec;
  bool has_kind = false;

  // Whether a whole line was understood.
  bool take(const std::string& word, std::istringstream& rest) {
    std::string value;
    if (word == "kind") return take_kind(rest);
    if (word == "classes") return bool(rest >> spec.classes) && spec.classes > 0 && spec.classes <= kMostClasses;
    if (word == "input") {
      return bool(rest >> spec.input_width_px >> spec.input_height_px) && sound(spec.input_width_px, kMostPixels) &&
             sound(spec.input_height_px, kMostPixels);
    }
    if (word == "layout") return choose(rest, "rows", "columns", spec.by_rows);
    if (word == "box") {
      return choose(rest, "xyxy", "cxcywh", spec.corners) && choose(rest, "normalised", "pixels", spec.normalised);
    }
    if (word == "scores") return choose(rest, "logits", "probabilities", spec.logits);
    return word == "output" && has_kind && take_output(rest);
  }

  bool take_kind(std::istringstream& rest) {
    std::string name;
    rest >> name;
    has_kind = true;
    if (name == "darknet_yolo_heads") spec.kind = Kind::yolo_heads;
    else if (name == "darknet_region_head") spec.kind = Kind::region_head;
    else if (name == "boxes_scores") spec.kind = Kind::boxes_scores;
    else if (name == "boxes_objectness_scores") spec.kind = Kind::boxes_objectness_scores;
    else if (name == "boxes_score_class") spec.kind = Kind::boxes_score_class;
    else return false;
    return true;
  }

  bool take_output(std::istringstream& rest) {
    Output output;
    if (!(rest >> output.name)) return false;
    if (spec.is_heads()) {
      int activated = -1;
      if (!(rest >> output.grid_width >> output.grid_height >> output.scale_x_y >> activated)) return false;
      if (!sound(output.grid_width, kMostCells) || !sound(output.grid_height, kMostCells)) return false;
      if (!std::isfinite(output.scale_x_y) || activated < 0 || activated > 1) return false;
      output.activated = activated == 1;
      Anchor anchor;
      while (rest >> anchor.width_px) {
        if (!(rest >> anchor.height_px) || !std::isfinite(anchor.width_px) || !std::isfinite(anchor.height_px)) {
          return false;
        }
        output.anchors.push_back(anchor);
      }
      if (output.anchors.empty() || !rest.eof()) return false;
      rest.clear();
    }
    spec.outputs.push_back(output);
    return true;
  }

  static bool sound(int value, int most) { return value > 0 && value <= most; }

  static bool choose(std::istringstream& rest, const char* yes, const char* no, bool& chosen) {
    std::string value;
    rest >> value;
    chosen = value == yes;
    return chosen || value == no;
  }
};

}  // namespace

bool read_decode_spec(std::istream& text, DecodeSpec& spec, std::string& error) {
  std::string line;
  if (!std::getline(text, line) || line != "vedette-decode 1") {
    error = "its first line is not 'vedette-decode 1'; render the folder anew";
    return false;
  }
  Reader reader{spec};
  for (int number = 2; std::getline(text, line); ++number) {
    std::istringstream rest(line);
    std::string word, more;
    rest >> word;
    if (word.empty()) continue;
    if (!reader.take(word, rest) || rest >> more) {
      error = "line " + std::to_string(number) + " is not understood: " + line;
      return false;
    }
  }
  const bool heads = spec.is_heads();
  const std::size_t most = heads ? 64 : 2;
  if (!reader.has_kind || spec.classes == 0 || spec.input_width_px == 0 || spec.outputs.empty() ||
      spec.outputs.size() > most || (spec.kind == Kind::region_head && spec.outputs.size() != 1)) {
    error = "kind, classes, input or its outputs are missing or too many";
    return false;
  }
  return true;
}

}  // namespace vedette
