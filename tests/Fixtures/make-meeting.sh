#!/usr/bin/env bash
# Makes meeting.wav (48 kHz, mono, 16 bit) and meeting.json: ten ordinary meeting sentences spoken by Debian's flite,
# with the time of every word as the synthesiser itself laid it out (its SylStructure and Segment relations).
# Both files are committed; run this again only to change the sentences or the voice.
# Needs: apt install flite sox python3
# usage: make-meeting.sh [VOICE] [OUTPUT_FOLDER]      VOICE is rms (default) or slt
set -euo pipefail
voice=${1:-rms}
out=$(realpath "${2:-$(dirname "$0")}")
for tool in sox python3; do
  command -v "$tool" >/dev/null || { echo "make-meeting.sh: $tool is missing; run: apt install flite sox python3" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 - "$voice" "$work" "$out/meeting.json" <<'PYTHON'
import ctypes, json, struct, subprocess, sys, wave

voice_name, work, json_path = sys.argv[1:4]
LEAD, PAUSE, RATE = 1.0, 1.2, 48000
SENTENCES = [
    "Good morning everyone and thank you for joining the call.",
    "Let us start with the quarterly budget.",
    "We spent less money than we planned in the first two months.",
    "The new office will open at the end of next week.",
    "Can you send me the final report before lunch tomorrow?",
    "Our customers are asking for a better search page.",
    "I think we should hire one more engineer this year.",
    "The test results look good, but we still need more data.",
    "Please write down the open questions and share them with the team.",
    "That is all for today, see you again on Monday morning.",
]

flite = ctypes.CDLL("libflite.so.1", ctypes.RTLD_GLOBAL)
for name in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
    ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
voices = ctypes.CDLL(f"libflite_cmu_us_{voice_name}.so.1", ctypes.RTLD_GLOBAL)

def function(library, name, result, *arguments):
    f = getattr(library, name)
    f.restype, f.argtypes = result, arguments
    return f

P, S = ctypes.c_void_p, ctypes.c_char_p
register = function(voices, f"register_cmu_us_{voice_name}", P, S)
synth_text = function(flite, "flite_synth_text", P, S, P)
utt_relation = function(flite, "utt_relation", P, P, S)
relation_head = function(flite, "relation_head", P, P)
item_next = function(flite, "item_next", P, P)
ffeature_string = function(flite, "ffeature_string", S, P, S)
ffeature_float = function(flite, "ffeature_float", ctypes.c_float, P, S)
utt_wave = function(flite, "utt_wave", P, P)
save_riff = function(flite, "cst_wave_save_riff", ctypes.c_int, P, S)
function(flite, "flite_init", ctypes.c_int)()
voice = register(None)

sentences, parts, position = [], [("silence", LEAD)], LEAD
for number, text in enumerate(SENTENCES):
    utterance = synth_text(text.encode(), voice)
    path = f"{work}/{number}.wav"
    save_riff(utt_wave(utterance), path.encode())
    words, word = [], relation_head(utt_relation(utterance, b"Word"))
    while word:
        name = ffeature_string(word, b"name").decode()
        start = ffeature_float(word, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end")
        end = ffeature_float(word, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
        words.append({"w": name, "start": round(position + start, 3), "end": round(position + end, 3)})
        word = item_next(word)
    # flite's 16 kHz to the 48 kHz of WebRTC; exact lengths, so that the clock below holds.
    subprocess.run(["sox", "-D", "-G", path, "-r", str(RATE), "-b", "16", "-c", "1", f"{work}/{number}-48.wav", "gain", "-3"], check=True)
    with wave.open(f"{work}/{number}-48.wav") as file:
        frames = file.getnframes()
    sentences.append({"text": text, "start": words[0]["start"], "end": words[-1]["end"], "words": words})
    parts += [("speech", number), ("silence", PAUSE)]
    position += frames / RATE + PAUSE

with wave.open(f"{work}/meeting.wav", "wb") as output:
    output.setnchannels(1); output.setsampwidth(2); output.setframerate(RATE)
    for kind, value in parts:
        if kind == "silence":
            output.writeframes(b"\0\0" * round(value * RATE))
        else:
            with wave.open(f"{work}/{value}-48.wav") as file:
                output.writeframes(file.readframes(file.getnframes()))
    seconds = output.getnframes() / RATE

with open(json_path, "w") as file:
    json.dump({"voice": f"flite {voice_name}", "sampleRate": RATE, "seconds": round(seconds, 3), "sentences": sentences}, file, indent=1)
    file.write("\n")
PYTHON
mv "$work/meeting.wav" "$out/meeting.wav"
echo "$out/meeting.wav and meeting.json, voice $voice"
