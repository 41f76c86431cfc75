// libFuzzer: a specification, a zero byte, and tensors of exactly the size that the specification asks for.
#include <sstream>

#include "decode.hpp"

static std::size_t count_of(const vedette::DecodeSpec& spec, const vedette::Output& head) {
  return head.anchors.size() * static_cast<std::size_t>(5 + spec.classes) * head.grid_width * head.grid_height;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::uint8_t* end = std::find(data, data + size, 0);
  std::istringstream text(std::string(data, end));
  vedette::DecodeSpec spec;
  std::string error;
  if (!vedette::read_decode_spec(text, spec, error)) return error.empty() ? __builtin_trap(), 0 : 0;
  const std::vector<float> by_class(spec.classes, 0.2f);
  const vedette::Thresholds thresholds{by_class.data(), spec.classes};
  const std::size_t given = (data + size - end) / sizeof(float), most = 1u << 20;
  std::size_t boxes = 0, wanted = 0;
  const auto fill = [&](std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t at = 0; given > 0 && at < count; ++at) std::memcpy(&values[at], end + at % given * 4, 4);
    return values;
  };
  const auto emit = [&](const vedette::Box& box) {
    if (box.class_id < 0 || box.class_id >= spec.classes) __builtin_trap();
    ++boxes;
  };
  if (spec.is_heads()) {
    for (const vedette::Output& head : spec.outputs) {
      wanted = count_of(spec, head);
      if (wanted > most) continue;
      const std::vector<float> values = fill(wanted);
      vedette::decode_head(spec, head, vedette::FloatValues{values.data()}, thresholds, emit);
    }
  } else {
    const bool one = spec.outputs.size() == 1;
    const std::size_t width = spec.values(), count = 50, first = one ? width : 4, other = one ? width : width - 4;
    if (width > most / count) return 0;
    const std::vector<float> a = fill(count * first), b = fill(count * other);
    const vedette::BoxValues<vedette::FloatValues> corners{{a.data()}, spec.by_rows, count, first};
    const vedette::BoxValues<vedette::FloatValues> rest{{one ? a.data() : b.data()}, spec.by_rows, count, other};
    vedette::decode_boxes(spec, corners, rest, one ? 4 : 0, thresholds, emit);
  }
  return 0;
}
