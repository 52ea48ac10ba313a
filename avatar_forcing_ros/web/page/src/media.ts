// Camera and microphone of the page.
import type { Role } from "./live/link";

export type MediaProblem = "no_camera" | "denied" | "busy_camera" | "not_secure";

/** Asks for both; of an operator and of a visitor alike, with the browser's echo cancellation. Throws a MediaProblem. */
export async function openMedia(role: Role): Promise<MediaStream> {
  if (!isSecureContext || !navigator.mediaDevices?.getUserMedia) throw "not_secure" satisfies MediaProblem;
  const audio = { echoCancellation: true, noiseSuppression: role === "operator", autoGainControl: true, channelCount: 1 };
  // As many pictures as the graph has frames: more would be tracked for nothing.
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25 }, facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video });
  } catch (error) {
    const name = (error as DOMException).name;
    if (name === "NotAllowedError" || name === "SecurityError") throw "denied" satisfies MediaProblem;
    if (name === "NotReadableError" || name === "AbortError") throw "busy_camera" satisfies MediaProblem;
    throw "no_camera" satisfies MediaProblem;
  }
}
