"""Tables and plots for people: one offline HTML file, CSV, LaTeX, the terminal."""
