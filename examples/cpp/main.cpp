// Replays a bundle's golden inputs on ONNX Runtime: replay_golden BUNDLE ARTIFACT
//
// Exit 0: every score is the original model's within the manifest's tolerance, and no decision
// changed. Exit 1: one line on stderr says why not. Each file is read once, checked against its
// SHA-256 and used from memory.

#include <nlohmann/json.hpp>
#define ORT_API_MANUAL_INIT  // replay() does it, after it set the environment
#include <onnxruntime_cxx_api.h>
#include <openssl/evp.h>
#include <zip.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::int64_t, std::runtime_error, std::size_t, std::string, std::uint8_t, std::vector;

string read_file(const fs::path& path) {
  std::error_code error;
  string bytes(fs::is_regular_file(path, error) ? size_t(fs::file_size(path)) : 0, '\0');
  std::ifstream stream(path, std::ios::binary);
  if (bytes.empty() || !stream.read(bytes.data(), std::streamsize(bytes.size())))
    throw runtime_error(path.string() + ": no such file, or it cannot be read");
  return bytes;
}

string sha256(const string& bytes) {
  vector<uint8_t> digest(32);
  if (!EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr))
    throw runtime_error("OpenSSL cannot compute SHA-256");
  std::ostringstream text;
  for (const int byte : digest) text << std::hex << std::setw(2) << std::setfill('0') << byte;
  return text.str();
}

// The manifest holds the hash of its own bytes without the hash's 64 digits.
json read_manifest(const fs::path& path) {
  string bytes = read_file(path);
  json manifest = json::parse(bytes);
  const string digest = manifest.at("sha256"), format = manifest.at("format");
  bytes.erase(bytes.find(digest), digest.size());
  if (sha256(bytes) != digest) throw runtime_error(path.string() + ": changed after export");
  if (format != "2.0" && format != "2.1")  // a later one may need another preprocessing
    throw runtime_error(path.string() + ": format " + format + ", expected 2.0 or 2.1");
  return manifest;
}

// Reads a file of the bundle; entry: its name and hash in the manifest.
string read_checked(const fs::path& bundle, const json& entry) {
  const fs::path path = bundle / entry.at("file").get<string>();
  string bytes = read_file(path);
  if (sha256(bytes) != entry.at("sha256"))
    throw runtime_error(path.string() + ": changed after export, not the manifest's SHA-256");
  return bytes;
}

// The entry of a model file that onnxruntime runs, and the tolerance of its scores there.
std::pair<json, double> find_artifact(const json& artifacts, const string& name) {
  string names;
  for (const json& artifact : artifacts)
    for (const json& record : artifact.at("engines")) {
      if (record.at("engine") != "onnxruntime") continue;
      if (artifact.at("name") == name) return {artifact, record.at("tolerance")};
      names += " " + artifact.at("name").get<string>();
    }
  throw runtime_error("the bundle has no " + name + " for onnxruntime, only:" + names);
}

// Reads one array of an .npz file, a zip archive of arrays; dtype: numpy's name of T.
template <typename T>
vector<T> read_array(const string& npz, const string& name, const string& dtype, size_t count) {
  zip_source_t* source = zip_source_buffer_create(npz.data(), npz.size(), 0, nullptr);
  zip_t* opened = zip_open_from_source(source, ZIP_RDONLY, nullptr);  // then owns the source
  if (!opened) {
    zip_source_free(source);
    throw runtime_error("the golden inputs are no .npz file");
  }
  const std::unique_ptr<zip_t, decltype(&zip_discard)> archive(opened, zip_discard);
  const std::unique_ptr<zip_file_t, decltype(&zip_fclose)> member(
      zip_fopen(opened, (name + ".npy").c_str(), 0), zip_fclose);
  string header(128, ' ');  // numpy pads a short one to 128 bytes
  vector<T> values(count);
  const zip_int64_t size = zip_int64_t(count * sizeof(T));
  if (!member || zip_fread(member.get(), header.data(), header.size()) != 128 ||
      header.find("'" + dtype + "', 'fortran_order': False") == string::npos ||
      header.back() != '\n' || zip_fread(member.get(), values.data(), count * sizeof(T)) != size)
    throw runtime_error("golden " + name + ": no " + std::to_string(count) + " of " + dtype);
  return values;
}

// ((pixel * scale + offset) - mean) / std of grey or RGB pixels, in the spec's order of channels.
vector<float> normalize(const vector<uint8_t>& pixels, const json& input) {
  const size_t channels = input.at("channels");
  const bool is_bgr = input.value("channel_order", "rgb") == "bgr";
  const double scale = input.at("scale"), offset = input.at("offset");
  const vector<double> mean = input.at("mean"), deviation = input.at("std");
  vector<float> values(pixels.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i % channels;
    const double level = pixels[is_bgr ? i + channels - 1 - 2 * channel : i];
    const double centred = level * scale + offset - (mean.empty() ? 0 : mean.at(channel));
    values[i] = float(centred / (deviation.empty() ? 1 : deviation.at(channel)));
  }
  return values;
}

// The index of the decided label: of two, by the threshold; of more, the most probable one.
size_t decide(vector<double> probabilities, const json& spec) {
  const json& labels = spec.at("labels");
  if (probabilities.size() == 1) probabilities = {1 - probabilities[0], probabilities[0]};
  const auto largest = std::max_element(probabilities.begin(), probabilities.end());
  if (labels.size() > 2) return size_t(largest - probabilities.begin());
  const size_t positive = labels.at(1) == spec.at("positive_label") ? 1 : 0;
  return probabilities[positive] >= spec.at("threshold") ? positive : 1 - positive;
}

// The scores of one image; values: the network's input, in rows of pixels.
vector<double> run(Ort::Session& session, float* values, const vector<int64_t>& shape) {
  const Ort::AllocatorWithDefaultOptions allocator;
  const auto input = session.GetInputNameAllocated(0, allocator);
  const auto output = session.GetOutputNameAllocated(0, allocator);  // the first is the scores
  const char *input_name = input.get(), *output_name = output.get();
  const size_t size = size_t(shape[1] * shape[2] * shape[3]);
  const auto image = Ort::Value::CreateTensor(allocator.GetInfo(), values, size, shape.data(), 4);
  const auto outputs = session.Run({}, &input_name, &image, 1, &output_name, 1);
  const float* scores = outputs.at(0).GetTensorData<float>();
  return {scores, scores + outputs[0].GetTensorTypeAndShapeInfo().GetElementCount()};
}

void replay(const fs::path& bundle, const string& name) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // from 1.29 on, onnxruntime connects to a network
  const OrtApi* api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!api) throw runtime_error("libonnxruntime is older than the headers of this build");
  Ort::InitApi(api);
  const json manifest = read_manifest(bundle / "manifest.json");
  const json &spec = manifest.at("spec"), &input = spec.at("input");
  const json& golden = manifest.at("golden");
  const auto [artifact, tolerance] = find_artifact(manifest.at("artifacts"), name);
  const vector<int64_t> shape{1, input.at("height"), input.at("width"), input.at("channels")};
  const size_t count = golden.at("inputs"), size = size_t(shape[1] * shape[2] * shape[3]);
  const size_t outputs = spec.at("activation") == "sigmoid" ? 1 : spec.at("labels").size();
  const string npz = read_checked(bundle, golden.at("file"));
  const auto originals = read_array<float>(npz, "scores", "<f4", count * outputs);
  auto values = normalize(read_array<uint8_t>(npz, "pixels", "|u1", count * size), input);
  const string model = read_checked(bundle, artifact.at("file"));
  const Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1).DisableCpuMemArena();
  Ort::Session session(env, model.data(), model.size(), options);

  double largest = 0;
  size_t flips = 0;
  std::chrono::duration<double, std::milli> elapsed{0};
  for (size_t i = 0; i < count; ++i) {
    const vector<double> expected(&originals[i * outputs], &originals[i * outputs] + outputs);
    const auto start = std::chrono::steady_clock::now();
    const vector<double> scores = run(session, &values[i * size], shape);
    elapsed += std::chrono::steady_clock::now() - start;
    for (size_t k = 0; k < outputs; ++k) {
      const double difference = std::abs(scores.at(k) - expected[k]);
      if (!(difference <= 1)) throw runtime_error(name + ": a score is not within 0..1");
      largest = std::max(largest, difference);
    }
    flips += decide(scores, spec) != decide(expected, spec);
  }
  std::ostringstream line;
  line << name << " on onnxruntime " << OrtGetApiBase()->GetVersionString() << std::setprecision(3)
       << ": max |Δ| " << largest << ", allowed " << tolerance << "; " << flips << " of " << count
       << " decisions changed; " << elapsed.count() / double(count) << " ms an image";
  if (largest > tolerance || flips != 0) throw runtime_error(line.str());
  std::cout << line.str() << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw runtime_error("usage: replay_golden BUNDLE ARTIFACT");
  replay(argv[1], argv[2]);
} catch (const std::exception& error) {
  const bool is_json = dynamic_cast<const json::exception*>(&error);
  const string text = is_json ? "manifest.json is damaged, or no bundle's" : error.what();
  std::cerr << "replay_golden: " << text.substr(0, text.find('\n')) << '\n';
  return 1;
}
