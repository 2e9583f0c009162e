// A slider over the frames of a figure. Without script all frames are shown, one below the other.
for (const scrubber of document.querySelectorAll(".ml-scrubber:not([data-ready])")) {
  scrubber.dataset.ready = "";
  const frames = [...scrubber.querySelectorAll(".ml-frame")];
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: frames.length - 1, value: 0 });
  const name = document.createElement("output");
  const label = document.createElement("label");
  const choose = () => {
    frames.forEach((frame, i) => (frame.hidden = i !== Number(slider.value)));
    name.textContent = frames[slider.value].dataset.name;
    slider.setAttribute("aria-valuetext", `${scrubber.dataset.label} = ${name.textContent}`);
  };
  label.append(`${scrubber.dataset.label} = `, name, slider);
  scrubber.prepend(label);
  slider.addEventListener("input", choose);
  choose();
}
