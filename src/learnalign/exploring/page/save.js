// Save the subset: a download, or in the run's folder where the page is served.

// The file that `learnalign train --subset` takes.
function subsetFile(name) {
  return {
    kind: "learnalign subset",
    made: "by hand",
    name,
    run: currentRun().path,
    view: address(),
    problem_ids: [...order].map((problem) => pool.ids[problem]),
  };
}

function openSave() {
  const name = element("input", { type: "text", id: "subset-name", value: "subset", pattern: "[\\w.\\-]+", required: true, maxlength: 60, title: "letters, digits, points, underscores and hyphens" });
  const save = element("button", { type: "submit", id: "save" }, "Save ids");
  const note = element("p", { id: "save-note", class: "hint", role: "status" });
  const form = element("form", { id: "save-form", onsubmit: (event) => {
    event.preventDefault();
    saveSubset(name.value, note);
  } }, element("label", { for: "subset-name" }, "Save this subset as"), element("div", { class: "row" }, name, save), note);
  byId("subset").replaceChildren(form, element("div", { id: "subset-figures" }));
}

async function saveSubset(name, note) {
  const file = subsetFile(name);
  if (!file.problem_ids.length) {
    note.textContent = "The subset has no problems.";
    return;
  }
  const text = JSON.stringify(file, null, 1);
  let path = `${name}.json`;
  if (pool.served) {
    note.textContent = "Saving …";
    try {
      const answer = await asked("subsets", { method: "POST", body: text });
      if (!answer.ok) throw new Error(await answer.text());
      ({ path } = await answer.json());
    } catch (error) {
      note.textContent = `Nothing was saved: ${error.message}`;
      return;
    }
  } else {
    const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "application/json" }));
    element("a", { href: url, download: path }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
  const renamed = pool.served ? "" : " (or as your browser named the file)";
  note.textContent = `${plural(file.problem_ids.length, "id")} saved. learnalign train MODEL ${quoted(file.run)} --subset ${quoted(path)}${renamed}`;
}
