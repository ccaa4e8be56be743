for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  };
  Plotly.newPlot(place, figure.data, figure.layout, config);
}
