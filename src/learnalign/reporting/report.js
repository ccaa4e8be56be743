for (const element of document.querySelectorAll("[data-figure]")) {
  const figure = JSON.parse(document.getElementById(element.dataset.figure).textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  };
  Plotly.newPlot(element, figure.data, figure.layout, config);
}
